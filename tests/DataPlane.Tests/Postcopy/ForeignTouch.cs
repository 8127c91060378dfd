using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Tests.Postcopy;

/// <summary>Touches memory whose pages may be missing, the only way that is allowed: outside of managed code.</summary>
internal static partial class ForeignTouch
{
    public static byte[] Read(RamBlock block, long page)
    {
        var bytes = new byte[TargetPage.Size];
        Read(block.Address + (nint)(page * TargetPage.Size), bytes);
        return bytes;
    }

    public static unsafe void Read(nint address, Span<byte> target)
    {
        fixed (byte* first = target)
        {
            Copy((nint)first, address, (nuint)target.Length);
        }
    }

    /// <summary>
    /// Has the kernel read a page into a file: it waits as a guest does, and says EFAULT where a plain touch would be SIGBUS. Returns the
    /// bytes written, or the negative error number.
    /// </summary>
    public static long Write(SafeFileHandle file, RamBlock block, long page)
    {
        var written = WriteAt(file, block.Address + (nint)(page * TargetPage.Size), TargetPage.Size, 0);
        return written >= 0 ? written : -Marshal.GetLastPInvokeError();
    }

    /// <summary>Whether a page is in memory, without touching it.</summary>
    public static unsafe bool IsPresent(RamBlock block, long page)
    {
        byte present;
        return GetPresence(block.Address + (nint)(page * TargetPage.Size), TargetPage.Size, &present) == 0
            ? (present & 1) != 0
            : throw new InvalidOperationException("mincore");
    }

    [LibraryImport("libc", EntryPoint = "mincore")]
    private static unsafe partial int GetPresence(nint address, nuint length, byte* present);

    [LibraryImport("libc", EntryPoint = "pwrite", SetLastError = true)]
    private static partial nint WriteAt(SafeFileHandle file, nint bytes, nuint length, long offset);

    [LibraryImport("libc", EntryPoint = "memcpy")]
    private static partial nint Copy(nint target, nint source, nuint length);
}
