namespace DataPlane.Transport;

/// <summary>
/// Numbered channels while they are being connected: filled by several, looked at by others at any moment, and aborted as a whole.
/// Thread-safe; who looks gets the channels that are there now and never a list that changes under it.
/// </summary>
/// <param name="capacity">Channels that there will be.</param>
internal sealed class ChannelSet(int capacity)
{
    private readonly Lock _gate = new();
    private readonly Channel?[] _slots = new Channel?[capacity];
    private volatile Channel[] _now = [];
    private bool _aborted;

    /// <summary>What is there now, in the order of the numbers.</summary>
    internal IReadOnlyList<Channel> Now => _now;

    /// <summary>Adds <paramref name="channel"/>. One that comes after <see cref="Abort"/> is aborted, too.</summary>
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

    /// <summary>Aborts all that are there and all that are still to come.</summary>
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
