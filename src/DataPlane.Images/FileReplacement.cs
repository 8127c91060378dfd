using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Images;

/// <summary>
/// Replaces a file by a new one that takes its name, in two steps. Until <see cref="Finish"/> the old file still exists under another name,
/// and <see cref="Undo"/> restores it.
/// </summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class FileReplacement
{
    private readonly string _path;
    private readonly string _former;
    private readonly string? _aside; // The present name of the old file; null if there was none.
    private readonly SafeFileHandle? _old;

    private FileReplacement(string path, string former, string? aside, SafeFileHandle? old)
    {
        _path = path;
        _former = former;
        _aside = aside;
        _old = old;
    }

    /// <summary>Gives the file at <paramref name="former"/> the name <paramref name="path"/>, in the same folder.</summary>
    /// <exception cref="IOException">The name could not be given, and nothing has changed.</exception>
    public static FileReplacement Begin(string former, string path) => Begin(former, path, LinuxFile.TryExchange);

    /// <summary>Begins a replacement with a given function for exchanging two names, which is a parameter for the tests.</summary>
    internal static FileReplacement Begin(string former, string path, Func<string, string, bool> tryExchange)
    {
        if (!FileFacts.TryRead(path, out _))
        {
            File.Move(former, path, overwrite: true);
            return new FileReplacement(path, former, aside: null, old: null);
        }

        var old = LockOld(path);
        try
        {
            if (tryExchange(former, path))
            {
                return new FileReplacement(path, former, former, old);
            }

            // This file system cannot exchange names (NFS). For a moment between the two renames the old file exists, but not under its own
            // name. It keeps the name that it gets here, since a third rename could fail when the new file already has its name. The next
            // start does not sweep files of this name: if the process is killed in that moment, the old file is all that is left.
            var aside = former + ".old";
            File.Move(path, aside);
            try
            {
                File.Move(former, path);
            }
            catch
            {
                File.Move(aside, path);
                throw;
            }

            return new FileReplacement(path, former, aside, old);
        }
        catch
        {
            old?.Dispose();
            throw;
        }
    }

    /// <summary>Deletes the old file. Never fails: the new file has its name for good.</summary>
    public void Finish()
    {
        try
        {
            if (_aside is not null)
            {
                File.Delete(_aside);
            }
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // A file that is left over mostly has the name of a partial file, and is removed at the next start.
        }
        finally
        {
            _old?.Dispose();
        }
    }

    /// <summary>Gives the old file its name again, and the new one its former name.</summary>
    public void Undo()
    {
        if (_aside != _former)
        {
            File.Move(_path, _former);
            if (_aside is not null)
            {
                File.Move(_aside, _path);
            }
        }
        else if (!LinuxFile.TryExchange(_former, _path))
        {
            var aside = _former + ".new";
            File.Move(_path, aside);
            File.Move(_former, _path);
            File.Move(aside, _former);
        }

        _old?.Dispose();
    }

    /// <summary>
    /// Opens and locks the old file, so that no sweeper removes it while it has the name of a partial file. Returns null if it cannot be
    /// opened.
    /// </summary>
    private static SafeFileHandle? LockOld(string path)
    {
        try
        {
            var old = LinuxFile.Open(path, Libc.OpenReadOnly | Libc.OpenNoFollow | Libc.OpenNonBlocking);
            _ = LinuxFile.TryLock(old);
            return old;
        }
        catch (LinuxException)
        {
            return null; // This is a link, or a file that this user cannot read.
        }
    }
}
