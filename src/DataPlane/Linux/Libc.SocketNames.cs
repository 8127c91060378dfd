using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

/// <summary>System calls on names inside a folder that is held open.</summary>
internal static unsafe partial class Libc
{
    /// <summary>O_PATH: opens a file as a location only, for neither reading nor writing.</summary>
    internal const int OpenPath = 0x200000;

    internal const int StatusOfLinks = 0x100; // AT_SYMLINK_NOFOLLOW
    internal const int StatusOfDescriptor = 0x1000; // AT_EMPTY_PATH

    internal const int FileTypeMask = 0xF000;
    internal const int FileTypeSocket = 0xC000;

    // O_NOFOLLOW differs between the architectures, as O_DIRECTORY does.
    internal static int OpenNoFollow => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 0x8000 : 0x20000;

    [LibraryImport("libc", EntryPoint = "openat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int OpenAt(SafeFileHandle folder, string name, int flags, uint mode);

    [LibraryImport("libc", EntryPoint = "unlinkat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int UnlinkAt(SafeFileHandle folder, string name, int flags);

    [LibraryImport("libc", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int FileStatusAt(SafeFileHandle folder, string name, int flags, uint mask, byte* status);

    /// <summary>
    /// The type of a name in <paramref name="folder"/>, without following links; 0 when nothing is there, or it cannot be seen.
    /// </summary>
    /// <param name="folder">The folder; if <paramref name="name"/> is empty, the file itself.</param>
    /// <param name="name">A name without a slash, or an empty string.</param>
    internal static int FileTypeOf(SafeFileHandle folder, string name)
    {
        const uint TypeMask = 1;
        const int ModeOffset = 28; // stx_mode of struct statx, which has the same 256-byte layout everywhere
        var status = stackalloc byte[256];
        var flags = StatusOfLinks | (name.Length == 0 ? StatusOfDescriptor : 0);
        // SAFETY: struct statx has 256 bytes.
        return FileStatusAt(folder, name, flags, TypeMask, status) == 0 ? *(ushort*)(status + ModeOffset) & FileTypeMask : 0;
    }
}
