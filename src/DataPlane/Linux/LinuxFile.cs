using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

/// <summary>File operations that the BCL lacks: reserved space, holes, memory files, locks, durable directories.</summary>
internal static class LinuxFile
{
    /// <summary>Opens an existing file or device without the advisory lock that the BCL takes.</summary>
    public static SafeFileHandle Open(string path, int flags) =>
        Own(FileCalls.Open(path, flags | FileCalls.OpenCloseOnExec, 0), "open", path);

    /// <summary>Creates a file that must not exist yet, for reading and writing by its owner only.</summary>
    public static SafeFileHandle CreateNew(string path)
    {
        const int Flags = FileCalls.OpenReadWrite | FileCalls.OpenCreate | FileCalls.OpenExclusive | FileCalls.OpenCloseOnExec;
        return Own(FileCalls.Open(path, Flags, 0b110_000_000), "open", path);
    }

    /// <summary>Creates a file of <paramref name="length"/> bytes that exists in memory only and reads as zero.</summary>
    public static SafeFileHandle CreateInMemory(string name, long length, uint flags = 0)
    {
        var file = Own(MemoryCalls.CreateMemoryFile(name, MemoryCalls.MemfdCloseOnExec | flags), "memfd_create", name);
        try
        {
            SetLength(file, length);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Takes the exclusive advisory lock of a file (flock), which shows that the file is in use. The lock belongs to the open file
    /// description, so it ends with the process that holds it, however that ends.
    /// </summary>
    /// <returns>False when somebody else holds the lock, or the file system has no locks.</returns>
    public static bool TryLock(SafeFileHandle file) => FileCalls.Lock(file, FileCalls.LockExclusive | FileCalls.LockNonBlocking) == 0;

    public static void Unlock(SafeFileHandle file) => _ = FileCalls.Lock(file, FileCalls.LockRelease);

    /// <summary>Exchanges the names of two files of one folder in one step, so that neither name is missing at any moment.</summary>
    /// <returns>False when the file system cannot do it, or one of the names does not exist.</returns>
    public static bool TryExchange(string path, string other)
    {
        if (FileCalls.Rename(FileCalls.CurrentDirectory, path, FileCalls.CurrentDirectory, other, FileCalls.RenameExchange) == 0)
        {
            return true;
        }

        var errno = Marshal.GetLastPInvokeError();
        return errno is Errno.EINVAL or Errno.ENOSYS or Errno.ENOENT ? false : throw new LinuxException("renameat2", errno);
    }

    public static void SetLength(SafeFileHandle file, long length)
    {
        if (FileCalls.SetFileLength(file, length) != 0)
        {
            LinuxException.ThrowLast("ftruncate");
        }
    }

    /// <summary>
    /// Reserves the blocks of a range and grows the file if need be. A mapped file without reserved space ends the process with SIGBUS when
    /// the disk is full; this call throws with ENOSPC instead.
    /// </summary>
    public static void Reserve(SafeFileHandle file, long offset, long length)
    {
        if (RetryAllocate(file, 0, offset, length) is var errno and not 0)
        {
            throw new LinuxException("fallocate", errno);
        }
    }

    /// <summary>Frees the blocks of a range, which reads as zero afterwards. The length of the file does not change.</summary>
    /// <returns>False when the file system has no holes; the contents are unchanged then.</returns>
    public static bool TryPunchHole(SafeFileHandle file, long offset, long length)
    {
        var errno = RetryAllocate(file, FileCalls.AllocatePunchHole | FileCalls.AllocateKeepSize, offset, length);
        if (errno is not (0 or Errno.EOPNOTSUPP))
        {
            throw new LinuxException("fallocate", errno);
        }

        return errno == 0;
    }

    /// <summary>
    /// The holes of a range, which read as zero and need not be read. There are none when the file system does not report them.
    /// </summary>
    public static IEnumerable<(long Start, long End)> Holes(SafeFileHandle file, long start, long end)
    {
        while (start < end)
        {
            var hole = FileCalls.Seek(file, start, FileCalls.SeekHole);
            if (hole < 0 || hole >= end)
            {
                yield break;
            }
            // Without data after it, the hole extends to the end of the file.
            var data = FileCalls.Seek(file, hole, FileCalls.SeekData);
            var next = data < 0 || data > end ? end : data;
            yield return (hole, next);
            start = next;
        }
    }

    /// <summary>Returns when the contents, and the metadata that is needed to read them, are on the disk.</summary>
    public static void SyncData(SafeFileHandle file)
    {
        if (FileCalls.SyncData(file) != 0)
        {
            LinuxException.ThrowLast("fdatasync");
        }
    }

    /// <summary>Makes a rename inside a directory durable.</summary>
    public static void SyncDirectory(string path)
    {
        using var directory = Open(path, FileCalls.OpenReadOnly | FileCalls.OpenDirectory);
        if (FileCalls.Sync(directory) != 0)
        {
            LinuxException.ThrowLast("fsync", path);
        }
    }

    public static SafeFileHandle Own(int fd, string call, string? subject)
    {
        if (fd < 0)
        {
            LinuxException.ThrowLast(call, subject);
        }

        return new SafeFileHandle(fd, ownsHandle: true);
    }

    // A large fallocate can be interrupted: any signal to the process, such as that of a profiler's timer, gives EINTR.
    private static int RetryAllocate(SafeFileHandle file, int mode, long offset, long length)
    {
        while (true)
        {
            var errno = FileCalls.Allocate(file, mode, offset, length) == 0 ? 0 : Marshal.GetLastPInvokeError();
            if (errno != Errno.EINTR)
            {
                return errno;
            }
        }
    }
}
