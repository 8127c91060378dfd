namespace DataPlane.Transport;

/// <summary>
/// The numbered channels of a migration while they are being connected. Several threads add to the set, others look at it at any moment,
/// and it is aborted as a whole. Thread-safe.
/// </summary>
/// <param name="capacity">The number of channels that there will be.</param>
internal sealed class ChannelSet(int capacity)
{
    private readonly Lock _gate = new();
    private readonly Channel?[] _slots = new Channel?[capacity];
    private volatile Channel[] _now = [];
    private bool _aborted;

    /// <summary>A snapshot of the channels that are there now, in the order of their numbers; it never changes.</summary>
    internal IReadOnlyList<Channel> Now => _now;

    /// <summary>Adds <paramref name="channel"/>. After <see cref="Abort"/>, it is aborted at once.</summary>
    internal void Add(int number, Channel channel)
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

        channel.Abort();
    }

    /// <summary>Aborts all channels that are there, and all that are added later.</summary>
    internal void Abort()
    {
        Channel[] channels;
        lock (_gate)
        {
            _aborted = true;
            channels = _now;
        }

        foreach (var channel in channels)
        {
            channel.Abort();
        }
    }
}
