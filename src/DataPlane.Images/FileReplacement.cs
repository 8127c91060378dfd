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
    private readonly bool _hasOld;
    private readonly SafeFileHandle? _old;

    private FileReplacement(string path, string former, bool hasOld, SafeFileHandle? old)
    {
        _path = path;
        _former = former;
        _hasOld = hasOld;
        _old = old;
    }

    /// <summary>Gives the file at <paramref name="former"/> the name <paramref name="path"/>, in the same folder.</summary>
    /// <exception cref="IOException">Nothing has changed.</exception>
    public static FileReplacement Begin(string former, string path)
    {
        if (!FileFacts.TryRead(path, out _))
        {
            File.Move(former, path, overwrite: true);
            return new FileReplacement(path, former, hasOld: false, old: null);
        }

        SafeFileHandle? old = LockOld(path);
        if (!LinuxFile.TryExchange(former, path))
        {
            // A file system that cannot exchange (NFS): for a moment between the two renames only the old name is missing, not the file.
            string aside = former + ".old";
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

            File.Move(aside, former);
        }

        return new FileReplacement(path, former, hasOld: true, old);
    }

    /// <summary>The old file is given up. Never fails: the new one has its name for good.</summary>
    public void Finish()
    {
        try
        {
            if (_hasOld)
                File.Delete(_former);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // What is left over has the name of a partial file, and goes at the next start.
        }
        finally
        {
            _old?.Dispose();
        }
    }

    /// <summary>The old file has its name again, and the new one its former name.</summary>
    public void Undo()
    {
        if (!_hasOld)
            File.Move(_path, _former);
        else if (!LinuxFile.TryExchange(_former, _path))
        {
            string aside = _former + ".new";
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
            SafeFileHandle old = LinuxFile.Open(path, Libc.OpenReadOnly | Libc.OpenNoFollow | Libc.OpenNonBlocking);
            _ = LinuxFile.TryLock(old);
            return old;
        }
        catch (LinuxException)
        {
            return null; // a link, or a file that this user cannot read
        }
    }
}
