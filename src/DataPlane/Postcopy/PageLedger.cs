using System.Numerics;
using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <summary>
/// Which pages are here and which are asked for, under one lock: whoever finds a page missing either sees it arrive or has its request stay
/// open.
/// </summary>
/// <remarks>
/// Pages are asked for and counted as open by whole host pages: what the block is backed with here or at the source, whichever is larger.
/// Thread-safe.
/// Nothing is allocated in the steady state.
/// </remarks>
internal sealed class PageLedger
{
    private readonly object _gate = new(); // a monitor: the puller waits in it
    private readonly ReceivedPages _pages;
    private readonly GuestPageSet _discarded;
    private readonly GuestPageSet _asked; // the bit of a host page's first page
    private readonly long[] _pagesPerHostPage;
    private long _open;
    private long _owed;
    private int _roomFor;
    private bool _stopped;
    private TaskCompletionSource? _settled;

    /// <param name="pages">What has arrived so far.</param>
    /// <param name="hostPageSize">Bytes of a host page of each block.</param>
    public PageLedger(ReceivedPages pages, Func<RamBlock, long> hostPageSize)
    {
        _pages = pages;
        _discarded = new GuestPageSet(pages.Memory);
        _asked = new GuestPageSet(pages.Memory);
        _pagesPerHostPage = [.. pages.Memory.Blocks.Select(block => hostPageSize(block) >> TargetPage.Shift)];
    }

    /// <summary>Host pages that are asked for and not here.</summary>
    public long OpenRequests
    {
        get
        {
            lock (_gate)
            {
                return _open;
            }
        }
    }

    /// <summary>Target pages that the source owes: it has discarded them here and not sent them since.</summary>
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

    public long PagesPerHostPage(RamBlock block) => _pagesPerHostPage[block.Index];

    public long HostPageSize(RamBlock block) => _pagesPerHostPage[block.Index] << TargetPage.Shift;

    /// <summary>The first page of the host page that <paramref name="page"/> belongs to.</summary>
    public long HostPageOf(RamBlock block, long page) => page & -_pagesPerHostPage[block.Index];

    public bool IsReceived(RamBlock block, long page) => _pages.Received(block)[page];

    /// <summary>Whether the host page of <paramref name="page"/> is asked for and not here.</summary>
    public bool IsOpen(RamBlock block, long page)
    {
        lock (_gate)
        {
            return _asked[block][HostPageOf(block, page)];
        }
    }

    /// <summary>The source will send these pages anew.</summary>
    public void Discard(RamBlock block, long firstPage, long pageCount)
    {
        _discarded[block].SetRange(firstPage, pageCount);
        _pages.Forget(block, firstPage, pageCount);
    }

    /// <summary>Somebody needs a page: whether it is here, asked for already, or to be asked for by the caller.</summary>
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

    /// <summary>Pages have been placed: only now are they here, and their request is closed.</summary>
    /// <returns>Whether they were asked for.</returns>
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

    /// <summary>All open requests, as of now: for a new link.</summary>
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
    /// Opens a request for the next page at or after a place that is owed and not asked for. False when there is none up to the block's
    /// end.
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

    /// <summary>Waits until fewer than <paramref name="limit"/> requests are open. False when <see cref="Stop"/> was called.</summary>
    public bool WaitForRoom(int limit)
    {
        lock (_gate)
        {
            // Woken when half of them are answered: one turn for many requests.
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

    /// <summary>Ends <see cref="WaitForRoom"/>.</summary>
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
