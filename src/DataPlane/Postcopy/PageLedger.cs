using System.Numerics;

namespace DataPlane.Postcopy;

/// <summary>
/// Records which pages are here and which are asked for, under one lock. A thread that finds a page missing therefore either sees it
/// arrive, or its request stays open.
/// </summary>
/// <remarks>
/// Requests are made and counted by whole host pages, whose size is that of the block here or at the source, whichever is larger.
/// Thread-safe. Nothing is allocated in the steady state.
/// </remarks>
internal sealed class PageLedger
{
    private readonly object _gate = new(); // a monitor, because the puller waits in it
    private readonly ReceivedPages _pages;
    private readonly GuestPageSet _discarded;
    private readonly GuestPageSet _asked; // a host page is marked by the bit of its first page
    private readonly long[] _pagesPerHostPage;
    private long _open;
    private long _owed;
    private int _roomFor;
    private bool _stopped;
    private TaskCompletionSource? _settled;

    /// <param name="pages">The record of the pages that have arrived so far.</param>
    /// <param name="hostPageSize">Returns the size of a host page of a block in bytes.</param>
    public PageLedger(ReceivedPages pages, Func<RamBlock, long> hostPageSize)
    {
        _pages = pages;
        _discarded = new GuestPageSet(pages.Memory);
        _asked = new GuestPageSet(pages.Memory);
        _pagesPerHostPage = [.. pages.Memory.Blocks.Select(block => hostPageSize(block) >> TargetPage.Shift)];
    }

    /// <summary>Counts the target pages that the source owes: they were discarded and have not come since.</summary>
    public long CountMissing()
    {
        long missing = 0;
        foreach (var block in _pages.Memory.BlockSpan)
        {
            var discarded = _discarded[block].Words;
            var received = _pages.Received(block).Words;
            for (var i = 0; i < discarded.Length; i++)
            {
                missing += BitOperations.PopCount(discarded[i] & ~received[i]);
            }
        }

        return missing;
    }

    /// <summary>The number of target pages in a host page of <paramref name="block"/>.</summary>
    public long PagesPerHostPage(RamBlock block) => _pagesPerHostPage[block.Index];

    /// <summary>The size of a host page of <paramref name="block"/> in bytes.</summary>
    public long HostPageSize(RamBlock block) => _pagesPerHostPage[block.Index] << TargetPage.Shift;

    /// <summary>Returns the first page of the host page that <paramref name="page"/> belongs to.</summary>
    public long HostPageOf(RamBlock block, long page) => page & -_pagesPerHostPage[block.Index];

    /// <summary>Whether a target page is here.</summary>
    public bool IsReceived(RamBlock block, long page) => _pages.Received(block)[page];

    /// <summary>Whether the host page of <paramref name="page"/> is asked for and not here.</summary>
    public bool IsOpen(RamBlock block, long page)
    {
        lock (_gate)
        {
            return _asked[block][HostPageOf(block, page)];
        }
    }

    /// <summary>Records that the source will send these pages again. What is here of them no longer counts as received.</summary>
    public void Discard(RamBlock block, long firstPage, long pageCount)
    {
        _discarded[block].SetRange(firstPage, pageCount);
        _pages.Forget(block, firstPage, pageCount);
    }

    /// <summary>
    /// Records that somebody needs a page. Returns whether it is here, is asked for already, or is to be requested by the caller.
    /// </summary>
    public PageNeed Need(RamBlock block, long page)
    {
        var hostPage = HostPageOf(block, page);
        lock (_gate)
        {
            if (_pages.Received(block)[page])
            {
                return PageNeed.Received;
            }

            return Open(block, hostPage) ? PageNeed.Ask : PageNeed.Asked;
        }
    }

    /// <summary>
    /// Records that pages of one host page have been placed. Only from now on do they count as received, and their request is closed.
    /// </summary>
    /// <returns>Whether the pages were asked for.</returns>
    public bool Arrived(RamBlock block, long firstPage, long pageCount, bool holdsData)
    {
        lock (_gate)
        {
            if (holdsData)
            {
                _pages.RecordData(block, firstPage, pageCount);
            }
            else
            {
                _pages.RecordZeros(block, firstPage, pageCount);
            }

            var hostPage = HostPageOf(block, firstPage);
            if (!_asked[block][hostPage])
            {
                return false;
            }

            _asked[block].Clear(hostPage);
            _open--;
            if (_discarded[block][hostPage] && --_owed == 0)
            {
                _settled?.TrySetResult();
            }

            if (_open == _roomFor)
            {
                Monitor.PulseAll(_gate);
            }

            return true;
        }
    }

    /// <summary>Completes when every page that is asked for and that the source owes is here.</summary>
    public Task SettledAsync()
    {
        lock (_gate)
        {
            _settled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            if (_owed == 0)
            {
                _settled.SetResult();
            }

            return _settled.Task;
        }
    }

    /// <summary>Returns the host pages of all requests that are open now, to be repeated on a new link.</summary>
    public IReadOnlyList<(RamBlock Block, long Page)> Open()
    {
        List<(RamBlock, long)> open = [];
        lock (_gate)
        {
            foreach (var block in _pages.Memory.BlockSpan)
            {
                for (long from = 0; _asked[block].TryFindSetRun(from, 1, out var page, out _); from = page + 1)
                {
                    open.Add((block, page));
                }
            }
        }

        return open;
    }

    /// <summary>
    /// Opens a request for the next page from <paramref name="page"/> on that the source owes and that is not asked for. Returns false if
    /// there is none up to the end of the block.
    /// </summary>
    public bool TryOpenNext(RamBlock block, ref long page)
    {
        var discarded = _discarded[block].Words;
        var received = _pages.Received(block).Words;
        for (; page < block.PageCount; page = (page | 63) + 1)
        {
            var word = discarded[(int)(page >> 6)] & ~received[(int)(page >> 6)] & (ulong.MaxValue << (int)page);
            while (word != 0)
            {
                var hostPage = HostPageOf(block, (page & ~63L) + BitOperations.TrailingZeroCount(word));
                word &= word - 1;
                if (Need(block, hostPage) == PageNeed.Ask)
                {
                    page = hostPage;
                    return true;
                }
            }
        }

        return false;
    }

    /// <summary>Waits until fewer than <paramref name="limit"/> requests are open. Returns false after <see cref="Stop"/>.</summary>
    public bool WaitForRoom(int limit)
    {
        lock (_gate)
        {
            // The waiting thread is woken when half of the requests are answered, so that it makes many requests at a time.
            _roomFor = limit / 2;
            if (_open >= limit)
            {
                while (_open > _roomFor && !_stopped)
                {
                    Monitor.Wait(_gate);
                }
            }

            return !_stopped;
        }
    }

    /// <summary>Ends <see cref="WaitForRoom"/> for good.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            _stopped = true;
            Monitor.PulseAll(_gate);
        }
    }

    private bool Open(RamBlock block, long hostPage)
    {
        if (_asked[block][hostPage])
        {
            return false;
        }

        _asked[block].Set(hostPage);
        _open++;
        if (_discarded[block][hostPage])
        {
            _owed++;
        }

        return true;
    }
}

/// <summary>What is to be done for a thread that needs a page.</summary>
internal enum PageNeed
{
    /// <summary>The page has arrived.</summary>
    Received,

    /// <summary>The page was asked for before.</summary>
    Asked,

    /// <summary>The page is now marked as asked for, and the caller must send the request.</summary>
    Ask,
}
