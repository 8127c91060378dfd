using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Images;

/// <summary>
/// A new file takes the name of what it replaces, in two steps: until <see cref="Finish"/> the old file is still there under the new one's
/// former name, and <see cref="Undo"/> brings it back.
/// </summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class FileReplacement
{
    private readonly string _path;
    private readonly string _former;
    private readonly string? _aside; // the old file's name since then; null where there was none
    private readonly SafeFileHandle? _old;

    private FileReplacement(string path, string former, string? aside, SafeFileHandle? old)
    {
        _path = path;
        _former = former;
        _aside = aside;
        _old = old;
    }

    /// <summary>Gives the file at <paramref name="former"/> the name <paramref name="path"/>, in the same folder.</summary>
    /// <exception cref="IOException">Nothing has changed.</exception>
    public static FileReplacement Begin(string former, string path) => Begin(former, path, LinuxFile.TryExchange);

    /// <summary>The same with another exchange of names; a parameter for the tests.</summary>
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

            // A file system that cannot exchange (NFS): for a moment between the two renames only the old name is missing, not the file. It
            // keeps the name that it gets, since a third rename could fail when the new file has its name already; and that is no name which
            // the next start sweeps, since a process that is killed in that moment leaves it as all that there is.
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

    /// <summary>The old file is given up. Never fails: the new one has its name for good.</summary>
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
            // What is left over has mostly the name of a partial file, and goes at the next start.
        }
        finally
        {
            _old?.Dispose();
        }
    }

    /// <summary>The old file has its name again, and the new one its former name.</summary>
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

    /// <summary>While the old file has the name of a partial one, the lock keeps a sweeper away from it.</summary>
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
            return null; // a link, or a file that this user cannot read
        }
    }
}
