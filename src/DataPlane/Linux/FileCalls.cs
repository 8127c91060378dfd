using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

/// <summary>
/// System calls on files, and on names inside a folder that is held open.
/// <see cref="Marshal.GetLastPInvokeError"/> has the reason of a failure, in the statement after the call.
/// </summary>
internal static unsafe partial class FileCalls
{
    public const int OpenReadOnly = 0;
    public const int OpenReadWrite = 2;
    public const int OpenCreate = 0x40;
    public const int OpenExclusive = 0x80;
    public const int OpenCloseOnExec = 0x80000;
    public const int OpenNonBlocking = 0x800;

    /// <summary>O_PATH: opens a file as a location only, for neither reading nor writing.</summary>
    public const int OpenPath = 0x200000;

    public const int AllocateKeepSize = 1;
    public const int AllocatePunchHole = 2;

    public const int SeekData = 3;
    public const int SeekHole = 4;

    public const int LockExclusive = 2;
    public const int LockNonBlocking = 4;
    public const int LockRelease = 8;

    public const int CurrentDirectory = -100;
    public const uint RenameExchange = 2;

    public const int StatusOfLinks = 0x100; // AT_SYMLINK_NOFOLLOW
    public const int StatusOfDescriptor = 0x1000; // AT_EMPTY_PATH

    public const int FileTypeMask = 0xF000;
    public const int FileTypeSocket = 0xC000;

    // O_DIRECTORY is one of the few flags that differ between the architectures.
    public static int OpenDirectory => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x4000 : 0x10000;

    // O_NOFOLLOW differs between the architectures, as O_DIRECTORY does.
    public static int OpenNoFollow => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x8000 : 0x20000;

    // open is variadic; integers travel in the same registers either way on Linux x64 and Arm64.
    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Open(string path, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "ftruncate", SetLastError = true)]
    public static partial int SetFileLength(SafeFileHandle file, long length);

    [LibraryImport("libc", EntryPoint = "lseek", SetLastError = true)]
    public static partial long Seek(SafeFileHandle file, long offset, int whence);

    [LibraryImport("libc", EntryPoint = "fallocate", SetLastError = true)]
    public static partial int Allocate(SafeFileHandle file, int mode, long offset, long length);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    public static partial int SyncData(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    public static partial int Sync(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    public static partial int Lock(SafeFileHandle file, int operation);

    [LibraryImport("libc", EntryPoint = "renameat2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int Rename(int oldDirectory, string oldPath, int newDirectory, string newPath, uint flags);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int FileStatus(int directory, string path, int flags, uint mask, byte* status);

    [LibraryImport("libc", EntryPoint = "openat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int OpenAt(SafeFileHandle folder, string name, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "unlinkat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    public static partial int UnlinkAt(SafeFileHandle folder, string name, int flags);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int FileStatusAt(SafeFileHandle folder, string name, int flags, uint mask, byte* status);

    /// <summary>
    /// The type of a name in <paramref name="folder"/>, without following links; 0 when nothing is there, or it cannot be seen.
    /// </summary>
    /// <param name="folder">The folder; if <paramref name="name"/> is empty, the file itself.</param>
    /// <param name="name">A name without a slash, or an empty string.</param>
    public static int FileTypeOf(SafeFileHandle folder, string name)
    {
        const uint TypeMask = 1;
        const int ModeOffset = 28; // stx_mode of struct statx, which has the same 256-byte layout everywhere
        var status = stackalloc byte[256];
        var flags = StatusOfLinks | (name.Length == 0 ? StatusOfDescriptor : 0);
        // SAFETY: struct statx has 256 bytes.
        return FileStatusAt(folder, name, flags, TypeMask, status) == 0 ? *(ushort*)(status + ModeOffset) & FileTypeMask : 0;
    }

    // ioctl is variadic; pointers and integers travel in the same registers either way on Linux x64 and Arm64.
    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Control(SafeFileHandle file, nuint request, void* argument);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int Control(SafeFileHandle file, nuint request, nint argument);
}
