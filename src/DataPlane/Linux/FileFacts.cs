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

/// <summary>Who owns a file and what it is, by lstat: a symbolic link is told as such and never followed.</summary>
/// <param name="Owner">Number of the user.</param>
/// <param name="Kind">What it is.</param>
/// <param name="Permissions">The twelve bits of rights.</param>
internal readonly record struct FileFacts(uint Owner, FileKind Kind, UnixFileMode Permissions)
{
    /// <summary>Whether <paramref name="path"/> is a Unix socket. Connecting cannot tell: it is refused by plain files too.</summary>
    internal static bool IsSocket(string path) => TryRead(path, out var facts) && facts.Kind == FileKind.Socket;

    /// <returns>False where there is no such name, or none that may be looked at.</returns>
    internal static unsafe bool TryRead(string path, out FileFacts facts)
    {
        const int NoFollow = 0x100;
        const uint TypeModeAndOwner = 0b1011;
        // struct statx has the same 256-byte layout everywhere.
        const int OwnerOffset = 20;
        const int ModeOffset = 28;
        var status = stackalloc byte[256];
        facts = default;
        // SAFETY: the kernel writes no more than the 256 bytes of struct statx.
        if (Libc.FileStatus(Libc.CurrentDirectory, path, NoFollow, TypeModeAndOwner, status) != 0)
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
