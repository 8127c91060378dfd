using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <summary>
/// The requested pages that go on main, ahead of the background, because there is no preempt channel or it may not be used yet. Only
/// claimed pages are added, so no page is queued twice, and there are never more than the guest has. Thread-safe, for one taker.
/// </summary>
internal sealed class RequestQueue
{
    private readonly object _gate = new();
    private readonly Queue<PageRun> _waiting = new();
    private bool _news;
    private bool _closed;

    /// <summary>
    /// Adds a page. Returns false after <see cref="TryClose"/>: a page that is requested so late is known to be zero, and reads as zero at
    /// the destination anyway.
    /// </summary>
    public bool TryAdd(PageRun page)
    {
        lock (_gate)
        {
            if (_closed)
            {
                return false;
            }

            _waiting.Enqueue(page);
            Signal();
            return true;
        }
    }

    /// <summary>Takes the next page. Returns false if there is none.</summary>
    public bool TryTake(out PageRun page)
    {
        lock (_gate)
        {
            return _waiting.TryDequeue(out page);
        }
    }

    /// <summary>Waits until a page is added, <see cref="Wake"/> is called, or <paramref name="limit"/> is over.</summary>
    public void Wait(TimeSpan limit)
    {
        lock (_gate)
        {
            if (!_news)
            {
                Monitor.Wait(_gate, limit);
            }

            _news = false;
        }
    }

    /// <summary>Ends the current or the next <see cref="Wait"/>.</summary>
    public void Wake()
    {
        lock (_gate)
        {
            Signal();
        }
    }

    /// <summary>Closes the queue, so that it takes no more pages. Returns false if a page is waiting: the queue stays open then.</summary>
    public bool TryClose()
    {
        lock (_gate)
        {
            _closed = _waiting.Count == 0;
            return _closed;
        }
    }

    private void Signal()
    {
        _news = true;
        Monitor.Pulse(_gate);
    }
}
