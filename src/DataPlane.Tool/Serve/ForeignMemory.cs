using System.Runtime.InteropServices;
using DataPlane.Linux;

namespace DataPlane.Tool.Serve;

/// <summary>
/// Reads and writes memory whose pages may be missing by system calls, as another process would. A thread that waited for a page in managed
/// code would stop the garbage collector, and with it everything that could bring the page. A page that will never come is an error here,
/// and no signal.
/// </summary>
internal static partial class ForeignMemory
{
    /// <summary>Why these calls are refused to this process (by a filter of system calls); null where they work.</summary>
    public static unsafe string? FindObstacle()
    {
        byte here = 1;
        byte there = 0;
        try
        {
            Read((nint)(&here), (nint)(&there), 1);
            return null;
        }
        catch (LinuxException refused)
        {
            return $"process_vm_readv, by which the guest touches its memory, is refused ({Errno.Describe(refused.Errno)}): "
                + "a container's seccomp profile, most likely";
        }
    }

    /// <exception cref="LinuxException">The page will never come.</exception>
    public static unsafe void Read(nint address, nint target, int length) => Transfer(address, target, length, write: false);

    /// <exception cref="LinuxException">The page will never come.</exception>
    public static unsafe void Write(nint address, nint source, int length) => Transfer(address, source, length, write: true);

    private static unsafe void Transfer(nint address, nint own, int length, bool write)
    {
        while (true)
        {
            var here = new IoVec(own, (nuint)length);
            var there = new IoVec(address, (nuint)length);
            // SAFETY: both vectors are locals; the kernel checks the addresses in them.
            var moved = write
                ? WriteProcess(Environment.ProcessId, &here, 1, &there, 1, 0)
                : ReadProcess(Environment.ProcessId, &here, 1, &there, 1, 0);
            if (moved == length)
            {
                return;
            }
            // The range lies within one page, so a partial transfer can only mean an interruption.
            var errno = moved < 0 ? Marshal.GetLastPInvokeError() : Errno.EINTR;
            if (errno != Errno.EINTR)
            {
                throw new LinuxException(write ? "process_vm_writev" : "process_vm_readv", errno);
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "process_vm_readv", SetLastError = true)]
    private static unsafe partial nint ReadProcess(int process, IoVec* here, nuint count, IoVec* there, nuint thereCount, nuint flags);

    [LibraryImport("libc", EntryPoint = "process_vm_writev", SetLastError = true)]
    private static unsafe partial nint WriteProcess(int process, IoVec* here, nuint count, IoVec* there, nuint thereCount, nuint flags);
}
