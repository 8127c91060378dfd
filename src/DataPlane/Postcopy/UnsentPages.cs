using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <summary>
/// The pages that the destination does not have yet. A sender claims a host page here before it sends it, so each is sent exactly once: a
/// second copy makes a QEMU destination fail or pause (specification, 4-postcopy section 4.2.3).
/// </summary>
/// <remarks>Thread-safe. The lock is held only while one claim is searched for.</remarks>
internal sealed class UnsentPages
{
    private readonly Lock _gate = new();
    private readonly HostPages _hostPages;
    private readonly GuestMemory _memory;
    private readonly GuestPageSet _unsent;

    /// <summary>The pages that are sent without a request: all that are unsent, except those that are known to be zero.</summary>
    private readonly GuestPageSet _background;

    private long _backgroundLeft;
    private int _block;
    private long _next;

    /// <param name="unsent">The unsent pages. The set is widened to whole host pages here, and owned by this object from now on.</param>
    /// <param name="hostPages">The sizes of the destination's host pages.</param>
    /// <param name="holdingData">
    /// The pages that are not zero, if the host knows them. All others are sent only on request, because they read as zeros at the end
    /// (specification, 4-postcopy section 4.2.4). Null if all pages are sent.
    /// </param>
    public UnsentPages(GuestPageSet unsent, HostPages hostPages, GuestPageSet? holdingData)
    {
        _memory = unsent.Memory;
        _hostPages = hostPages;
        _unsent = unsent;
        hostPages.Widen(_unsent);
        _background = holdingData is null ? _unsent : Intersection(_unsent, holdingData);
        if (holdingData is not null)
        {
            hostPages.Widen(_background);
        }

        _backgroundLeft = _background.CountSet();
    }

    /// <summary>The number of target pages that the background still has to send. Any thread may read it.</summary>
    public long BackgroundLeft => Volatile.Read(ref _backgroundLeft);

    /// <summary>
    /// Claims the host page of <paramref name="page"/>. The background goes on after it, because its neighbours are likely to be requested
    /// next.
    /// </summary>
    /// <returns>False if the host page has been claimed before: then there is nothing to send.</returns>
    public bool TryClaim(RamBlock block, long page, out PageRun claimed)
    {
        var pages = _hostPages.PagesOf(block);
        var first = page & -pages;
        lock (_gate)
        {
            claimed = new PageRun(block, first, pages);
            if (!_unsent[block][first])
            {
                return false;
            }

            Take(claimed);
            _block = block.Index;
            _next = first + pages;
            return true;
        }
    }

    /// <summary>Claims the next pages of the background. Returns false if none is left.</summary>
    public bool TryClaimNext(PageClaim claim)
    {
        claim.Clear();
        lock (_gate)
        {
            if (_backgroundLeft == 0)
            {
                return false;
            }

            while (!TryClaimHere(claim))
            {
                _block = (_block + 1) % _memory.Blocks.Count;
                _next = 0;
            }

            return true;
        }
    }

    private bool TryClaimHere(PageClaim claim)
    {
        var block = _memory.Blocks[_block];
        var map = _background[block];
        var pages = _hostPages.PagesOf(block);
        while (claim.Free > 0 && map.TryFindSetRun(_next, Math.Max(claim.Free, pages), out var first, out var count))
        {
            var run = new PageRun(block, first, count);
            Take(run);
            claim.Add(run);
            _next = first + count;
        }

        return claim.PageCount > 0;
    }

    private void Take(PageRun run)
    {
        _unsent[run.Block].ClearRange(run.FirstPage, run.PageCount);
        if (ReferenceEquals(_background, _unsent))
        {
            _backgroundLeft -= run.PageCount;
        }
        else if (_background[run.Block][run.FirstPage])
        {
            _background[run.Block].ClearRange(run.FirstPage, run.PageCount);
            _backgroundLeft -= run.PageCount;
        }
    }

    private static GuestPageSet Intersection(GuestPageSet left, GuestPageSet right)
    {
        var both = new GuestPageSet(left.Memory);
        foreach (var block in left.Memory.Blocks)
        {
            var (mine, other) = (left[block], right[block]);
            for (long next = 0; mine.TryFindSetRun(next, long.MaxValue, out var first, out var count); next = first + count)
            {
                var end = first + count;
                var at = first;
                while (at < end && other.TryFindSetRun(at, end - at, out var start, out var length) && start < end)
                {
                    both[block].SetRange(start, Math.Min(length, end - start));
                    at = start + length;
                }
            }
        }

        return both;
    }
}
