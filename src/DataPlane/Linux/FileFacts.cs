namespace DataPlane.Linux;

/// <summary>What a name in a folder stands for.</summary>
internal enum FileKind
{
    /// <summary>A device or a pipe.</summary>
    Other,
    File,
    Directory,
    Socket,
    Link,
}

/// <summary>
/// The owner, kind and permissions of a file. A symbolic link is never followed but reported as <see cref="FileKind.Link"/>.
/// </summary>
/// <param name="Owner">The number of the user who owns it.</param>
/// <param name="Kind">The kind of file that it is.</param>
/// <param name="Permissions">The twelve permission bits.</param>
internal readonly record struct FileFacts(uint Owner, FileKind Kind, UnixFileMode Permissions)
{
    /// <summary>
    /// Whether <paramref name="path"/> is a Unix socket. Connecting cannot tell, because a connection to a plain file is refused as well.
    /// </summary>
    public static bool IsSocket(string path) => TryRead(path, out var facts) && facts.Kind == FileKind.Socket;

    /// <returns>False when the name does not exist, or may not be looked at.</returns>
    public static unsafe bool TryRead(string path, out FileFacts facts)
    {
        const int NoFollow = 0x100;
        const uint TypeModeAndOwner = 0b1011;
        // struct statx has the same 256-byte layout everywhere.
        const int OwnerOffset = 20;
        const int ModeOffset = 28;
        var status = stackalloc byte[256];
        facts = default;
        // SAFETY: the kernel writes no more than the 256 bytes of struct statx.
        if (FileCalls.FileStatus(FileCalls.CurrentDirectory, path, NoFollow, TypeModeAndOwner, status) != 0)
        {
            return false;
        }

        int mode = *(ushort*)(status + ModeOffset);
        var kind = (mode & 0xF000) switch
        {
            0xC000 => FileKind.Socket,
            0x4000 => FileKind.Directory,
            0xA000 => FileKind.Link,
            0x8000 => FileKind.File,
            _ => FileKind.Other,
        };
        facts = new FileFacts(*(uint*)(status + OwnerOffset), kind, (UnixFileMode)(mode & 0xFFF));
        return true;
    }
}
