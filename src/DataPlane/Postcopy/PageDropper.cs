using System.Runtime.InteropServices;
using DataPlane.Linux;

namespace DataPlane.Postcopy;

/// <summary>
/// Drops the contents of pages that have not been received: the kernel reports no fault for a page that is there. Used by one thread at a
/// time.
/// </summary>
/// <param name="pages">The record of the pages that have arrived.</param>
/// <param name="missing">The ranges that have not been received.</param>
internal sealed class PageDropper(ReceivedPages pages, MissingRanges missing)
{
    private readonly RangeDropper _private = new();
    private readonly bool[] _prepared = new bool[pages.Memory.Blocks.Count];
    private readonly bool[] _isPrivate = new bool[pages.Memory.Blocks.Count];
    private readonly GuestPageSet _dropped = new(pages.Memory);

    /// <summary>Drops the contents of pages that the source will send again.</summary>
    public void Drop(RamBlock block, long firstPage, long pageCount)
    {
        Prepare(block);
        DropRange(block, firstPage << TargetPage.Shift, pageCount << TargetPage.Shift);
        _dropped[block].SetRange(firstPage, pageCount);
    }

    /// <summary>Drops all pages that are missing and have not been dropped before.</summary>
    public void DropMissing()
    {
        foreach (var block in pages.Memory.BlockSpan)
        {
            Prepare(block);
            DropMissing(block);
        }

        _private.Flush();
    }

    /// <summary>
    /// Prepares a block before its first pages are dropped: otherwise the kernel might merge what lies between the gaps into huge pages,
    /// and so fill the gaps.
    /// </summary>
    private void Prepare(RamBlock block)
    {
        if (!_prepared[block.Index] && block.HostPageSize == TargetPage.Size)
        {
            _ = MemoryCalls.Advise(block.Address, (nuint)block.Length, MemoryCalls.AdviceNoHugePage);
        }

        _prepared[block.Index] = true;
    }

    private void DropMissing(RamBlock block)
    {
        var dropped = _dropped[block];
        missing.ForEach(block, (offset, length) =>
        {
            var (next, end) = (offset >> TargetPage.Shift, (offset + length) >> TargetPage.Shift);
            while (next < end)
            {
                if (!dropped.TryFindSetRun(next, end - next, out var first, out var count) || first > end)
                {
                    (first, count) = (end, 0);
                }

                if (first > next)
                {
                    DropRange(block, next << TargetPage.Shift, (first - next) << TargetPage.Shift);
                }

                next = first + count;
            }
        });
    }

    /// <summary>Drops a range: at once from a memory file, and from private memory with the next call of the dropper.</summary>
    private void DropRange(RamBlock block, long offset, long length)
    {
        _isPrivate[block.Index] = _isPrivate[block.Index] || !TryRemove(block, offset, length);
        if (_isPrivate[block.Index])
        {
            _private.Add(block.Address + (nint)offset, length);
        }

        pages.RecordDropped(block, offset >> TargetPage.Shift, length >> TargetPage.Shift);
    }

    /// <summary>
    /// Removes pages from a memory file. Returns false for private memory, which has no file, as the kernel reports. Private huge pages
    /// have a hidden file, which may not be changed through them.
    /// </summary>
    private static bool TryRemove(RamBlock block, long offset, long length)
    {
        var errno = Advise(block, offset, length, MemoryCalls.AdviceRemove);
        var isPrivate = errno == Errno.EINVAL || (errno == Errno.EACCES && block.HostPageSize != TargetPage.Size);
        return errno == 0 || isPrivate ? errno == 0 : throw new LinuxException("madvise(MADV_REMOVE)", errno, $"block '{block.Name}'");
    }

    private static int Advise(RamBlock block, long offset, long length, int advice)
    {
        while (true)
        {
            var errno = MemoryCalls.Advise(block.Address + (nint)offset, (nuint)length, advice) == 0 ? 0 : Marshal.GetLastPInvokeError();
            if (errno is not (Errno.EINTR or Errno.EAGAIN))
            {
                return errno;
            }
        }
    }
}
