using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using DataPlane.Linux;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Images;

/// <summary>
/// A file under construction, <c>.NAME.ID.partial</c> in the folder of what it becomes: readable for its owner only, since it holds guest
/// memory, with all its space reserved, and locked as long as its process lives.
/// </summary>
internal static partial class PartialFile
{
    private const int ChunkBytes = 1 << 20;

    /// <summary>A new name beside <paramref name="path"/>.</summary>
    public static string NameFor(string path) =>
        Path.Combine(Path.GetDirectoryName(path)!, $".{Path.GetFileName(path)}.{Guid.NewGuid():N}.partial");

    /// <summary>Creates the file.</summary>
    /// <param name="path">A name of <see cref="NameFor"/>.</param>
    /// <param name="length">Bytes, all of them reserved: a mapping over a full disk would end the process.</param>
    /// <exception cref="IOException">
    /// The folder is missing or not writable, or the disk has not enough space; nothing is left behind.
    /// </exception>
    public static SafeFileHandle Create(string path, long length) => Create(path, length, LinuxFile.TryLock);

    /// <summary>The same with another lock; a parameter for the tests.</summary>
    internal static SafeFileHandle Create(string path, long length, Func<SafeFileHandle, bool> tryLock)
    {
        var file = LinuxFile.CreateNew(path);
        try
        {
            // A sweeper may have come between the creation and the lock, and have taken the file for a dead one's: it holds the lock, or has
            // removed the name already. A file system without locks has no sweepers either.
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
    /// Removes what killed processes of this user have left in a folder. A file whose process lives is locked and stays, and so does what
    /// cannot be opened.
    /// </summary>
    /// <returns>How many were removed.</returns>
    public static int Sweep(string folder)
    {
        var removed = 0;
        foreach (var path in Directory.EnumerateFiles(folder, ".*.partial").Where(static path => Names().IsMatch(Path.GetFileName(path))))
        {
            if (!FileFacts.TryRead(path, out var facts) || facts.Kind != FileKind.File || facts.Owner != Libc.GetEffectiveUser())
            {
                continue;
            }

            try
            {
                using var file = LinuxFile.Open(path, Libc.OpenReadOnly | Libc.OpenNoFollow | Libc.OpenNonBlocking);
                if (!LinuxFile.TryLock(file))
                {
                    continue;
                }

                File.Delete(path);
                removed++;
            }
            catch (IOException)
            {
                // It has gone by itself, or is no business of ours.
            }
        }

        return removed;
    }

    /// <summary>
    /// Whether the file system of a folder can reserve space at once. Where it cannot (NFSv3, ext2), zeros are written over the whole length
    /// of each file instead, which takes as long as the disk needs for them.
    /// </summary>
    /// <exception cref="IOException">No file can be made there; says why.</exception>
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

    /// <summary>Reserves the whole length, by zeros where there is no other way.</summary>
    /// <param name="file">The file.</param>
    /// <param name="path">Its name, for the complaint.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="reserve">fallocate; a parameter for the tests.</param>
    internal static void Reserve(SafeFileHandle file, string path, long length, Action<SafeFileHandle, long, long> reserve)
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
