using System.Runtime.InteropServices;
using DataPlane.Linux;
using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <content>Drops the contents of pages that have not been received: the kernel reports no fault for a page that is there.</content>
internal sealed partial class UserfaultPageStore
{
    private readonly RangeDropper _dropper = new();
    private readonly bool[] _prepared;
    private readonly bool[] _isPrivate;
    private readonly GuestPageSet _dropped;

    /// <summary>
    /// Drops the contents of pages that the source will send again. May be called before <see cref="Arm"/>, while the guest still runs at
    /// its source. All memory is registered first: a touch in between would otherwise get a page of zeros, which would never count as
    /// missing.
    /// </summary>
    public void Drop(RamBlock block, long firstPage, long pageCount)
    {
        EnsureRegistered();
        Prepare(block);
        DropRange(block, firstPage << TargetPage.Shift, pageCount << TargetPage.Shift);
        _dropped[block].SetRange(firstPage, pageCount);
    }

    /// <summary>
    /// Prepares a block before its first pages are dropped: otherwise the kernel might merge what lies between the gaps into huge pages,
    /// and so fill the gaps.
    /// </summary>
    private void Prepare(RamBlock block)
    {
        if (!_prepared[block.Index] && block.HostPageSize == TargetPage.Size)
        {
            _ = Libc.Advise(block.Address, (nuint)block.Length, Libc.AdviceNoHugePage);
        }

        _prepared[block.Index] = true;
    }

    /// <summary>Drops all pages of the block that are missing and have not been dropped before.</summary>
    private void DropMissing(RamBlock block)
    {
        var dropped = _dropped[block];
        ForEachMissing(block, (offset, length) =>
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
            _dropper.Add(block.Address + (nint)offset, length);
        }

        _pages.RecordDropped(block, offset >> TargetPage.Shift, length >> TargetPage.Shift);
    }

    /// <summary>
    /// Calls <paramref name="action"/> with offset and length, in bytes, of each range of host pages that have not been received.
    /// </summary>
    private void ForEachMissing(RamBlock block, Action<long, long> action)
    {
        var received = _pages.Received(block);
        var unit = _ledger.PagesPerHostPage(block);
        long from = 0;
        while (from < block.PageCount)
        {
            if (!received.TryFindSetRun(from, block.PageCount, out var next, out var count))
            {
                next = block.PageCount;
            }

            // A host page that has come in part (zero pages before the switch) counts as received: the rest of it never had contents.
            var begin = (from + unit - 1) & -unit;
            var end = next == block.PageCount ? next : next & -unit;
            if (end > begin)
            {
                action(begin << TargetPage.Shift, (end - begin) << TargetPage.Shift);
            }

            from = next == block.PageCount ? next : next + count;
        }
    }

    /// <summary>
    /// Removes pages from a memory file. Returns false for private memory, which has no file, as the kernel reports. Private huge pages
    /// have a hidden file, which may not be changed through them.
    /// </summary>
    private static bool TryRemove(RamBlock block, long offset, long length)
    {
        var errno = Advise(block, offset, length, Libc.AdviceRemove);
        var isPrivate = errno == Errno.EINVAL || (errno == Errno.EACCES && block.HostPageSize != TargetPage.Size);
        return errno == 0 || isPrivate ? errno == 0 : throw new LinuxException("madvise(MADV_REMOVE)", errno, $"block '{block.Name}'");
    }

    /// <summary>Whether a host page is present; always true for 4 KiB pages, and where the kernel does not tell.</summary>
    private static unsafe bool IsThere(RamBlock block, long offset)
    {
        if (block.HostPageSize == TargetPage.Size)
        {
            return true;
        }

        byte page;
        // SAFETY: the call asks about one 4 KiB page, at the first byte of a huge page, and its answer is one byte.
        return Libc.FindPages(block.Address + (nint)offset, TargetPage.Size, &page) != 0 || (page & 1) != 0;
    }

    private static int Advise(RamBlock block, long offset, long length, int advice)
    {
        while (true)
        {
            var errno = Libc.Advise(block.Address + (nint)offset, (nuint)length, advice) == 0 ? 0 : Marshal.GetLastPInvokeError();
            if (errno is not (Errno.EINTR or Errno.EAGAIN))
            {
                return errno;
            }
        }
    }
}
