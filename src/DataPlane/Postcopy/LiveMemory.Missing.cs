using System.Runtime.InteropServices;
using DataPlane.Linux;
using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <content>What has not been received is given up: pages that are there would never be faults.</content>
internal sealed partial class LiveMemory
{
    private readonly RangeDropper _dropper = new();
    private readonly bool[] _prepared;
    private readonly bool[] _isPrivate;
    private readonly GuestPageSet _dropped;

    /// <summary>
    /// Gives up pages that the source will send anew, ahead of <see cref="Arm"/>: the guest may still run at its source then. Everything is
    /// registered first: a touch in between would be answered with a page of zeros, which nobody would ever take for missing.
    /// </summary>
    public void Drop(RamBlock block, long firstPage, long pageCount)
    {
        EnsureRegistered();
        Prepare(block);
        DropRange(block, firstPage << TargetPage.Shift, pageCount << TargetPage.Shift);
        _dropped[block].SetRange(firstPage, pageCount);
    }

    /// <summary>First: the kernel would make huge pages of what lies between the gaps, and so fill these.</summary>
    private void Prepare(RamBlock block)
    {
        if (!_prepared[block.Index] && block.HostPageSize == TargetPage.Size)
        {
            _ = Libc.Advise(block.Address, (nuint)block.Length, Libc.AdviceNoHugePage);
        }

        _prepared[block.Index] = true;
    }

    /// <summary>All that is missing and not given up yet.</summary>
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

    private void DropRange(RamBlock block, long offset, long length)
    {
        _isPrivate[block.Index] = _isPrivate[block.Index] || !TryRemove(block, offset, length);
        if (_isPrivate[block.Index])
        {
            _dropper.Add(block.Address + (nint)offset, length);
        }

        _pages.RecordDropped(block, offset >> TargetPage.Shift, length >> TargetPage.Shift);
    }

    /// <summary>Calls back with each range of host pages that have not been received.</summary>
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

            // A host page that has come in part (zero pages before the switch) is here: what it lacks never had contents.
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
    /// A memory file's pages must go from the file; private memory has none, and the kernel says so. Private huge pages have one that
    /// nobody sees, which may not be changed through them.
    /// </summary>
    private static bool TryRemove(RamBlock block, long offset, long length)
    {
        var errno = Advise(block, offset, length, Libc.AdviceRemove);
        var isPrivate = errno == Errno.EINVAL || (errno == Errno.EACCES && block.HostPageSize != TargetPage.Size);
        return errno == 0 || isPrivate ? errno == 0 : throw new LinuxException("madvise(MADV_REMOVE)", errno, $"block '{block.Name}'");
    }

    /// <summary>Whether a host page is there; true where the kernel does not tell.</summary>
    private static unsafe bool IsThere(RamBlock block, long offset)
    {
        if (block.HostPageSize == TargetPage.Size)
        {
            return true;
        }

        byte page;
        // SAFETY: one page of the machine is asked for, at the first byte of a larger one; the answer is one byte.
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
