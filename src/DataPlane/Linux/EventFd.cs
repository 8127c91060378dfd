using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

/// <summary>
/// Wakes a thread that waits in poll or epoll. <see cref="Signal"/> may be called by any thread, also after <see cref="Dispose"/>.
/// </summary>
internal sealed partial class EventFd : IDisposable
{
    public const int CloseOnExec = 0x80000;
    public const int NonBlocking = 0x800;

    private readonly SafeFileHandle _handle;

    public EventFd()
    {
        var descriptor = Create(0, CloseOnExec | NonBlocking);
        if (descriptor < 0)
        {
            throw new LinuxException("eventfd", Marshal.GetLastPInvokeError());
        }

        _handle = new SafeFileHandle(descriptor, ownsHandle: true);
    }

    /// <summary>The descriptor for poll and epoll sets. The owner keeps this object alive while it is in one.</summary>
    public int Descriptor => (int)_handle.DangerousGetHandle();

    public unsafe void Signal()
    {
        ulong one = 1;
        try
        {
            // SAFETY: eight bytes of the local are read. The call fails only when the counter is full, and then the event is signalled
            // already.
            _ = Write(_handle, &one, sizeof(ulong));
        }
        catch (ObjectDisposedException)
        {
            // A timer or a cancellation token fired late: nobody waits any more.
        }
    }

    public unsafe void Reset()
    {
        ulong count;
        // SAFETY: eight bytes of the local are written. EAGAIN means that it was not signalled.
        _ = Read(_handle, &count, sizeof(ulong));
    }

    public void Dispose() => _handle.Dispose();

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    private static partial int Create(uint initial, int flags);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    private static unsafe partial nint Read(SafeFileHandle descriptor, ulong* value, nuint length);

    [LibraryImport("libc", EntryPoint = "write", SetLastError = true)]
    private static unsafe partial nint Write(SafeFileHandle descriptor, ulong* value, nuint length);
}
