using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <summary>
/// Pages that were asked for and go on main, ahead of the background: where there is no preempt channel, or it may not be used yet. Only
/// claimed pages come in
/// here, so none stands here twice and there are never more than the guest has. Thread-safe; one taker.
/// </summary>
internal sealed class RequestQueue
{
    private readonly object _gate = new();
    private readonly Queue<PageRun> _waiting = new();
    private bool _news;
    private bool _closed;

    /// <summary>
    /// False when the stream has ended: what comes now can only be a page that is known to be zero, and reads so at the destination by
    /// itself.
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

    public bool TryTake(out PageRun page)
    {
        lock (_gate)
        {
            return _waiting.TryDequeue(out page);
        }
    }

    /// <summary>Waits until something is asked for, somebody calls <see cref="Wake"/>, or the time is over.</summary>
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

    public void Wake()
    {
        lock (_gate)
        {
            Signal();
        }
    }

    /// <summary>Takes no more from now on, unless something is waiting: then it is the taker's turn first.</summary>
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
