using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Linux;

/// <summary>
/// A range of memory from mmap. It has no finalizer on purpose: raw addresses into it are in use where the garbage collector cannot see
/// them, so only its owner knows when it may be unmapped.
/// </summary>
internal sealed class MemoryMapping : IDisposable
{
    /// <summary>A huge page of x64, and of Arm64 with 4 KiB pages.</summary>
    public const long HugePageSize = 2L << 20;

    private nint _address;

    private MemoryMapping(nint address, long length)
    {
        _address = address;
        FirstByte = address;
        Length = length;
    }

    public nint Address => _address;

    public long Length { get; }

    /// <summary>Maps private memory that reads as zero.</summary>
    /// <param name="length">Length in bytes.</param>
    /// <param name="alignment">Alignment of the address, a power of two; 0 for whatever mmap gives.</param>
    public static MemoryMapping Anonymous(long length, long alignment = 0) => Create(null, 0, length, alignment);

    /// <summary>Maps a range of a file, shared with everyone who has the file open or mapped.</summary>
    public static MemoryMapping OfFile(SafeFileHandle file, long offset, long length, long alignment = 0)
        => Create(file, offset, length, alignment);

    /// <summary>
    /// Maps a range of a file for reading only. <paramref name="offset"/> need not be a multiple of the machine's page size: the bytes
    /// asked for begin at <see cref="FirstByte"/>.
    /// </summary>
    /// <remarks>
    /// If the file becomes shorter meanwhile, what is missing faults: system calls fail with EFAULT, and a direct read ends the process.
    /// </remarks>
    public static MemoryMapping OfFileToRead(SafeFileHandle file, long offset, long length)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        var before = offset % Environment.SystemPageSize;
        var mapped = MemoryCalls.MapMemory(
            0, checked((nuint)(length + before)), MemoryCalls.ProtRead, MemoryCalls.MapShared, file, offset - before);
        if (mapped == MemoryCalls.MapFailed)
        {
            LinuxException.ThrowLast("mmap", $"{length} bytes");
        }

        return new MemoryMapping(mapped, length + before) { FirstByte = mapped + (nint)before };
    }

    /// <summary>The address of the first byte that was asked for.</summary>
    public nint FirstByte { get; private init; }

    /// <summary>Maps memory of huge pages that the system has reserved.</summary>
    /// <exception cref="IOException">Too few reserved huge pages are left. It fails now and not at the first touch.</exception>
    public static MemoryMapping OfReservedHugePages(long length, bool shared)
    {
        try
        {
            if (!shared)
            {
                return Create(null, 0, length, HugePageSize, MemoryCalls.MapHugePages);
            }

            using var file = LinuxFile.CreateInMemory("guest-ram", length, MemoryCalls.MemfdHugePages);
            return Create(file, 0, length, HugePageSize);
        }
        catch (LinuxException few) when (few.Errno == Errno.ENOMEM)
        {
            throw new IOException($"The system has no {length / HugePageSize} reserved huge pages left (vm.nr_hugepages).", few);
        }
    }

    /// <summary>
    /// Asks for huge pages, or for none. This is advice only: a kernel without them returns EINVAL, and the memory works as it is.
    /// </summary>
    public void PreferHugePages(bool huge)
        => _ = MemoryCalls.Advise(_address, (nuint)Length, huge ? MemoryCalls.AdviceHugePage : MemoryCalls.AdviceNoHugePage);

    /// <summary>
    /// Allocates the pages of a range now, writable and with unchanged contents. The first touch of a page costs more than the network
    /// (docs/memory.md). Several threads may do this at once for different ranges.
    /// </summary>
    public void Populate(long offset, long length)
    {
        CheckRange(offset, length);
        while (MemoryCalls.Advise(_address + (nint)offset, (nuint)length, MemoryCalls.AdvicePopulateWrite) != 0)
        {
            var errno = Marshal.GetLastPInvokeError();
            if (errno == Errno.EINVAL)
            {
                Touch(offset, length); // before Linux 5.14
                return;
            }
            if (errno is not (Errno.EINTR or Errno.EAGAIN))
            {
                throw new LinuxException("madvise(MADV_POPULATE_WRITE)", errno);
            }
        }
    }

    /// <summary>Writes one word of every page with the value that it has.</summary>
    public unsafe void Touch(long offset, long length)
    {
        CheckRange(offset, length);
        // SAFETY: the range lies in this mapping. The atomic OR with 0 leaves the word unchanged even if another thread writes it
        // meanwhile.
        var start = (byte*)_address + offset;
        for (long at = 0; at < length; at += Environment.SystemPageSize)
        {
            Interlocked.Or(ref *(int*)((nint)(start + at) & ~3), 0);
        }
    }

    public void Dispose()
    {
        var address = Interlocked.Exchange(ref _address, 0);
        if (address != 0)
        {
            _ = MemoryCalls.UnmapMemory(address, (nuint)Length);
        }
    }

    private static MemoryMapping Create(SafeFileHandle? file, long offset, long length, long alignment, int extraFlags = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(length);
        // Reserve more than needed, then map over the aligned part: mmap itself only promises page alignment.
        var reserved = checked(length + alignment);
        var area = MemoryCalls.MapMemory(
            0, (nuint)reserved, MemoryCalls.ProtNone, MemoryCalls.MapPrivate | MemoryCalls.MapAnonymous | MemoryCalls.MapNoReserve, -1, 0);
        if (area == MemoryCalls.MapFailed)
        {
            ThrowMapFailed(length);
        }

        var start = alignment == 0 ? area : (nint)(((long)area + alignment - 1) & -alignment);
        const int Access = MemoryCalls.ProtRead | MemoryCalls.ProtWrite;
        const int Anonymous = MemoryCalls.MapPrivate | MemoryCalls.MapAnonymous | MemoryCalls.MapFixed;
        var mapped = file is null
            ? MemoryCalls.MapMemory(start, (nuint)length, Access, Anonymous | extraFlags, -1, 0)
            : MemoryCalls.MapMemory(start, (nuint)length, Access, MemoryCalls.MapShared | MemoryCalls.MapFixed, file, offset);
        if (mapped == MemoryCalls.MapFailed)
        {
            var errno = Marshal.GetLastPInvokeError();
            _ = MemoryCalls.UnmapMemory(area, (nuint)reserved);
            throw new LinuxException("mmap", errno, $"{length} bytes");
        }

        long pageSize = Environment.SystemPageSize;
        var end = (nint)(((long)start + length + pageSize - 1) & -pageSize);
        Trim(area, start);
        Trim(end, area + (nint)reserved);
        return new MemoryMapping(start, length);
    }

    private static void Trim(nint from, nint to)
    {
        if (to > from)
        {
            _ = MemoryCalls.UnmapMemory(from, (nuint)(to - from));
        }
    }

    [DoesNotReturn]
    private static void ThrowMapFailed(long length) => LinuxException.ThrowLast("mmap", $"{length} bytes");

    private void CheckRange(long offset, long length)
    {
        ObjectDisposedException.ThrowIf(_address == 0, this);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length - offset);
    }
}
