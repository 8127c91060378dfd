namespace DataPlane.Transport;

/// <summary>
/// The numbered channels of a migration while they are being connected. Several threads add to the set, others look at it at any moment,
/// and it is aborted as a whole. Thread-safe.
/// </summary>
/// <param name="capacity">The number of channels that there will be at most.</param>
internal sealed class ChannelSet(int capacity)
{
    private readonly Lock _gate = new(); // guards every field below; Now is read without it
    private readonly Channel?[] _slots = new Channel?[capacity];
    private volatile Channel[] _now = [];
    private bool _aborted;
    private ChannelException? _cause;

    /// <summary>A snapshot of the channels that are there now, in the order of their numbers; it never changes.</summary>
    public IReadOnlyList<Channel> Now => _now;

    /// <summary>The channel with this number; null while it is not there.</summary>
    public Channel? this[int number]
    {
        get
        {
            lock (_gate)
            {
                return _slots[number];
            }
        }
    }

    /// <summary>Adds <paramref name="channel"/>. After <see cref="Abort"/>, it is aborted at once.</summary>
    public void Add(int number, Channel channel)
    {
        lock (_gate)
        {
            _slots[number] = channel;
            _now = [.. _slots.OfType<Channel>()];
            if (!_aborted)
            {
                return;
            }
        }

        channel.Abort(_cause);
    }

    /// <summary>
    /// Takes the channel with this number out of the set, which <see cref="Abort"/> does not reach any more. Returns null if it is not
    /// there, or the set was aborted.
    /// </summary>
    public Channel? Take(int number)
    {
        lock (_gate)
        {
            if (_aborted || _slots[number] is not { } channel)
            {
                return null;
            }

            _slots[number] = null;
            _now = [.. _slots.OfType<Channel>()];
            return channel;
        }
    }

    /// <summary>
    /// Aborts all channels that are there, the one with the highest number first, and all that are added later. Nothing is awaited in
    /// between: a thread may be inside a call on any of them, and cannot notice the abort of another.
    /// </summary>
    /// <param name="cause">What everybody is told who uses one of them now or later; null for nothing. Only the first call counts.</param>
    public void Abort(ChannelException? cause = null)
    {
        Channel[] channels;
        lock (_gate)
        {
            (_cause, _aborted) = (_aborted ? _cause : cause, true);
            channels = _now;
        }

        foreach (var channel in channels.Reverse())
        {
            channel.Abort(cause);
        }
    }
}
