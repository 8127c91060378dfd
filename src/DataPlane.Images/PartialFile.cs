using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Images;

/// <summary>
/// Handles files under construction, named <c>.NAME.ID.partial</c> in the folder of the final file. Such a file is readable for its owner
/// only, since it holds guest memory. All its space is reserved, and it is locked as long as its process lives.
/// </summary>
internal static partial class PartialFile
{
    private const int ChunkBytes = 1 << 20;

    /// <summary>Returns a new name for a partial file in the folder of <paramref name="path"/>.</summary>
    public static string NameFor(string path) =>
        Path.Combine(Path.GetDirectoryName(path)!, $".{Path.GetFileName(path)}.{Guid.NewGuid():N}.partial");

    /// <summary>Creates a partial file.</summary>
    /// <param name="path">A name from <see cref="NameFor"/>.</param>
    /// <param name="length">
    /// Length in bytes, all of which are reserved, because writing to a mapping on a full disk would end the process.
    /// </param>
    /// <exception cref="IOException">The folder is missing or not writable, or the disk has not enough space. No file is left.</exception>
    public static SafeFileHandle Create(string path, long length) => Create(path, length, LinuxFile.TryLock);

    /// <summary>Creates a partial file with a given function for locking it, which is a parameter for the tests.</summary>
    public static SafeFileHandle Create(string path, long length, Func<SafeFileHandle, bool> tryLock)
    {
        var file = LinuxFile.CreateNew(path);
        try
        {
            // Between the creation and the lock a sweeper may have taken the file for one that a dead process has left. Then it holds the
            // lock, or has removed the name already. On a file system without locks nothing is swept.
            var isTaken = !tryLock(file) && Marshal.GetLastPInvokeError() == Errno.EAGAIN;
            if (isTaken || !FileFacts.TryRead(path, out _))
            {
                throw new IOException($"'{path}' was taken for one that a dead process has left, while it was made: try again");
            }

            LinuxFile.SetLength(file, length);
            Reserve(file, path, length, LinuxFile.Reserve);
            return file;
        }
        catch
        {
            file.Dispose();
            File.Delete(path);
            throw;
        }
    }

    /// <summary>
    /// Removes the partial files that killed processes of this user have left in a folder. A file whose process lives is locked and is not
    /// removed, and neither is a file that cannot be opened.
    /// </summary>
    /// <returns>The number of files removed.</returns>
    public static int Sweep(string folder)
    {
        var removed = 0;
        foreach (var path in Directory.EnumerateFiles(folder, ".*.partial").Where(static path => Names().IsMatch(Path.GetFileName(path))))
        {
            if (!FileFacts.TryRead(path, out var facts) || facts.Kind != FileKind.File || facts.Owner != ProcessCalls.GetEffectiveUser())
            {
                continue;
            }

            try
            {
                using var file = LinuxFile.Open(path, FileCalls.OpenReadOnly | FileCalls.OpenNoFollow | FileCalls.OpenNonBlocking);
                if (!LinuxFile.TryLock(file))
                {
                    continue;
                }

                File.Delete(path);
                removed++;
            }
            catch (IOException)
            {
                // The file has been removed meanwhile, or this user cannot open it.
            }
        }

        return removed;
    }

    /// <summary>
    /// Finds out whether the file system of a folder can reserve space at once. If it cannot (NFSv3, ext2), zeros are written over the
    /// whole length of each file instead, which takes as long as the disk needs for them.
    /// </summary>
    /// <exception cref="IOException">No file can be created there; the message explains why.</exception>
    public static bool CanReserve(string folder)
    {
        var path = NameFor(Path.Combine(folder, "trial"));
        using var file = LinuxFile.CreateNew(path);
        File.Delete(path);
        LinuxFile.SetLength(file, ChunkBytes);
        try
        {
            LinuxFile.Reserve(file, 0, ChunkBytes);
            return true;
        }
        catch (LinuxException failure) when (failure.Errno == Errno.EOPNOTSUPP)
        {
            return false;
        }
        catch (LinuxException failure)
        {
            throw new IOException($"no space in '{folder}': {failure.Message}", failure);
        }
    }

    /// <summary>Reserves the whole length, and writes zeros if the file system cannot reserve space otherwise.</summary>
    /// <param name="file">The file.</param>
    /// <param name="path">Name of the file, for the error message.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="reserve">fallocate; a parameter for the tests.</param>
    public static void Reserve(SafeFileHandle file, string path, long length, Action<SafeFileHandle, long, long> reserve)
    {
        try
        {
            try
            {
                reserve(file, 0, length);
            }
            catch (LinuxException failure) when (failure.Errno == Errno.EOPNOTSUPP)
            {
                WriteZeros(file, length);
            }
        }
        catch (Exception failure) when (failure is LinuxException or IOException)
        {
            throw new IOException($"no space for {length} bytes in '{Path.GetDirectoryName(path)}': {failure.Message}", failure);
        }
    }

    private static void WriteZeros(SafeFileHandle file, long length)
    {
        var zeros = new byte[ChunkBytes];
        for (long at = 0; at < length; at += ChunkBytes)
        {
            RandomAccess.Write(file, zeros.AsSpan(0, (int)Math.Min(ChunkBytes, length - at)), at);
        }
    }

    [GeneratedRegex(@"^\..+\.[0-9a-f]{32}\.partial$", RegexOptions.CultureInvariant)]
    private static partial Regex Names();
}
