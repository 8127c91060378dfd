using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Images;

/// <summary>
/// Replaces a file by a new one that takes its name, in two steps. Until <see cref="Finish"/> the old file still exists under another name,
/// and <see cref="Undo"/> restores it and removes the new one.
/// </summary>
/// <remarks>Not thread-safe.</remarks>
internal sealed class FileReplacement
{
    private readonly string _path;
    private readonly string _former;
    private readonly string? _aside; // The present name of the old file; null if there was none.
    private readonly SafeFileHandle? _old;
    private readonly Action<string> _delete;

    private FileReplacement(string path, string former, string? aside, SafeFileHandle? old, Action<string> delete)
    {
        _path = path;
        _former = former;
        _aside = aside;
        _old = old;
        _delete = delete;
    }

    /// <summary>Gives the file at <paramref name="former"/> the name <paramref name="path"/>, in the same folder.</summary>
    /// <exception cref="IOException">The name could not be given, and nothing has changed.</exception>
    public static FileReplacement Begin(string former, string path) => Begin(former, path, LinuxFile.TryExchange, File.Delete);

    /// <summary>
    /// Begins a replacement with given functions for exchanging two names and for deleting the old file. They are parameters for the
    /// tests.
    /// </summary>
    public static FileReplacement Begin(
        string former, string path, Func<string, string, bool> tryExchange, Action<string> delete)
    {
        if (!FileFacts.TryRead(path, out _))
        {
            File.Move(former, path, overwrite: true);
            return new FileReplacement(path, former, aside: null, old: null, delete);
        }

        var old = LockOld(path);
        try
        {
            if (tryExchange(former, path))
            {
                return new FileReplacement(path, former, former, old, delete);
            }

            // This file system cannot exchange names (NFS). For a moment between the two renames the old file exists, but not under its own
            // name. The next start does not sweep files of the name that it gets here: if the process is killed in that moment, the old
            // file is all that is left. It keeps that name until Finish, since a third rename here could fail when the new file already
            // has its name.
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

            return new FileReplacement(path, former, aside, old, delete);
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
                _delete(NameToDelete(_aside));
            }
        }
        catch (Exception failure) when (IsRefusal(failure))
        {
            // The next start removes it.
        }
        finally
        {
            _old?.Dispose();
        }
    }

    /// <summary>
    /// Removes the new file, and gives the old one its name again. This is a single step: after a failure everything is as it was before
    /// the call, which may be repeated.
    /// </summary>
    /// <exception cref="IOException">The name could not be given back.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder does not allow it any more.</exception>
    public void Undo()
    {
        if (_aside is null)
        {
            File.Delete(_path);
        }
        else
        {
            File.Move(_aside, _path, overwrite: true);
        }

        _old?.Dispose();
    }

    /// <summary>Whether an exception says that the file system has refused a change.</summary>
    public static bool IsRefusal(Exception failure) => failure is IOException or UnauthorizedAccessException;

    /// <summary>
    /// Gives the old file the name of a partial file, which the next start sweeps if the file cannot be deleted now. Where names cannot be
    /// exchanged, it has another name until here.
    /// </summary>
    /// <returns>The name that the file has.</returns>
    private string NameToDelete(string aside)
    {
        try
        {
            if (aside != _former)
            {
                File.Move(aside, _former);
            }

            return _former;
        }
        catch (Exception failure) when (IsRefusal(failure))
        {
            return aside;
        }
    }

    /// <summary>
    /// Opens and locks the old file, so that no sweeper removes it while it has the name of a partial file. Returns null if it cannot be
    /// opened.
    /// </summary>
    private static SafeFileHandle? LockOld(string path)
    {
        try
        {
            var old = LinuxFile.Open(path, FileCalls.OpenReadOnly | FileCalls.OpenNoFollow | FileCalls.OpenNonBlocking);
            _ = LinuxFile.TryLock(old);
            return old;
        }
        catch (LinuxException)
        {
            return null; // This is a link, or a file that this user cannot read.
        }
    }
}
