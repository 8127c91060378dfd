namespace DataPlane.Multifd;

/// <summary>The destination's barrier between the main stream and the multifd channels (specification, 3-multifd section 3).</summary>
/// <remarks>
/// <code>
///   channel i   ... packet, packet, SYNC k | blocked until mark k ...   ArriveAndWait
///   main        ... records ...     mark k | blocked until SYNC k of all channels ...   PassMarkAsync
/// </code>
/// The k-th SYNC of every channel belongs to the k-th mark. A channel that ends at a packet boundary is no error by itself; it becomes one
/// when main comes to a mark that this channel has not reached (specification, 3-multifd section 6, EOF rule). The first failure ends all
/// waits. Thread-safe.
/// </remarks>
internal sealed class SyncBarrier
{
    private readonly object _gate = new();
    private readonly long[] _arrived;
    private readonly bool[] _ended;
    private TaskCompletionSource? _mainWaits;
    private Exception? _failure;
    private long _marks;
    private bool _open;

    public SyncBarrier(int channels)
    {
        _arrived = new long[channels];
        _ended = new bool[channels];
    }

    /// <summary>
    /// Reports a SYNC of channel <paramref name="id"/> and blocks until main has passed the mark of that SYNC. Returns false if the
    /// migration is over; the channel must stop reading then.
    /// </summary>
    public bool ArriveAndWait(int id)
    {
        lock (_gate)
        {
            var mine = ++_arrived[id];
            ReleaseMainIfComplete();
            while (_failure is null && !_open && _marks < mine)
            {
                Monitor.Wait(_gate);
            }

            return _failure is null && !_open;
        }
    }

    /// <summary>Reports that channel <paramref name="id"/> has ended at a packet boundary.</summary>
    public void ChannelEnded(int id)
    {
        lock (_gate)
        {
            _ended[id] = true;
            ReleaseMainIfComplete();
        }
    }

    /// <summary>
    /// To be called when main has come to a mark. The task completes when every channel has reached the mark, and the channels then go on.
    /// </summary>
    /// <exception cref="SyncBarrierBrokenException">A channel ended before it reached this mark. It is thrown through the task.</exception>
    public Task PassMarkAsync()
    {
        lock (_gate)
        {
            if (_failure is not null)
            {
                return Task.FromException(_failure);
            }

            _mainWaits = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            var waits = _mainWaits.Task;
            ReleaseMainIfComplete();
            return waits;
        }
    }

    /// <summary>
    /// To be called when the main stream has ended well. Releases channels that wait after a trailing SYNC without a mark, which sources of
    /// QEMU 9.1 and 9.2 send.
    /// </summary>
    public void Open()
    {
        lock (_gate)
        {
            _open = true;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>
    /// Ends all waits of channels and of main with <paramref name="failure"/>, unless there was a failure before: the first one stays.
    /// </summary>
    public void Fail(Exception failure)
    {
        lock (_gate)
        {
            _failure ??= failure;
            _mainWaits?.TrySetException(_failure);
            Monitor.PulseAll(_gate);
        }
    }

    private void ReleaseMainIfComplete()
    {
        if (_mainWaits is null)
        {
            return;
        }

        var mark = _marks + 1;
        for (var id = 0; id < _arrived.Length; id++)
        {
            if (_arrived[id] >= mark)
            {
                continue;
            }

            if (_ended[id])
            {
                _mainWaits.TrySetException(new SyncBarrierBrokenException(id, mark));
            }

            return;
        }

        var waits = _mainWaits;
        _mainWaits = null;
        _marks = mark;
        Monitor.PulseAll(_gate);
        waits.TrySetResult();
    }
}

/// <summary>Main has come to a mark that a channel will never reach, because that channel has ended.</summary>
internal sealed class SyncBarrierBrokenException(int channelId, long mark)
    : Exception($"multifd channel {channelId} ended before sync {mark}")
{
    public int ChannelId { get; } = channelId;
}
