using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

/// <summary>
/// System calls on memory: mapping it, giving it back, advice about it.
/// <see cref="Marshal.GetLastPInvokeError"/> has the reason of a failure, in the statement after the call.
/// </summary>
internal static unsafe partial class MemoryCalls
{
    public const int ProtNone = 0;
    public const int ProtRead = 1;
    public const int ProtWrite = 2;

    public const int MapShared = 0x01;
    public const int MapPrivate = 0x02;
    public const int MapFixed = 0x10;
    public const int MapAnonymous = 0x20;
    public const int MapNoReserve = 0x4000;

    /// <summary>MAP_HUGETLB with a size of 2 MiB.</summary>
    public const int MapHugePages = 0x40000 | (21 << 26);

    /// <summary>The value that <see cref="MapMemory(nint, nuint, int, int, int, long)"/> returns on failure.</summary>
    public const nint MapFailed = -1;

    public const int AdviceDontNeed = 4;
    public const int AdviceRemove = 9;
    public const int AdviceHugePage = 14;
    public const int AdviceNoHugePage = 15;
    public const int AdvicePopulateWrite = 23;

    public const uint MemfdCloseOnExec = 1;

    /// <summary>MFD_HUGETLB with a size of 2 MiB.</summary>
    public const uint MemfdHugePages = 4 | (21 << 26);

    /// <summary>Number of the system call pidfd_open, which older versions of libc do not wrap; the same on x64 and Arm64.</summary>
    public const nint OpenProcessCall = 434;

    /// <summary>Number of the system call process_madvise, which older versions of libc do not wrap; the same on x64 and Arm64.</summary>
    public const nint AdviseProcessCall = 440;

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    public static partial nint MapMemory(nint address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    public static partial nint MapMemory(nint address, nuint length, int protection, int flags, SafeFileHandle file, long offset);

    [LibraryImport("libc", EntryPoint = "munmap", SetLastError = true)]
    public static partial int UnmapMemory(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    public static partial int ProtectMemory(nint address, nuint length, int protection);

    [LibraryImport("libc", EntryPoint = "madvise", SetLastError = true)]
    public static partial int Advise(nint address, nuint length, int advice);

    // syscall is variadic: see FileCalls.Control.
    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial nint OpenProcess(nint number, nint process, nint flags);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial nint AdviseProcess(nint number, SafeFileHandle process, IoVec* ranges, nuint count, nint advice, nint flags);

    /// <param name="address">First byte of a page.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="pages">Receives a byte for each page of the machine, whose lowest bit is set when the page is in memory.</param>
    [LibraryImport("libc", EntryPoint = "mincore", SetLastError = true)]
    public static partial int FindPages(nint address, nuint length, byte* pages);

    [LibraryImport("libc", EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int CreateMemoryFile(string name, uint flags);
}
