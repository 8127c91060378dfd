using DataPlane.Guard.Relay;
using DataPlane.Transport;

namespace DataPlane.Guard.Session;

/// <summary>
/// The channels of a migration as a snapshot shows them, and the watch for peers that have vanished from them. Any thread may ask; the
/// session's loop adds and drops.
/// </summary>
internal sealed class GuardChannels(RelayEngine relays, TimeSpan? acknowledgementTimeout, TimeProvider time) : IDisposable
{
    private readonly Lock _gate = new();

    /// <summary>The channels. The gate guards it, as it does the two fields after it.</summary>
    private readonly List<ChannelRelay> _shown = [];

    private readonly Dictionary<ChannelRelay, long> _bytesBefore = [];
    private long _shownAt;

    /// <summary>The watch, which begins with the first channel: a VM that waits costs no timer. The session's loop sets it.</summary>
    private volatile PeerLiveness? _liveness;

    /// <summary>Holds a client that waits to be handed to QEMU, and adds its channel.</summary>
    public ChannelRelay Hold(ChannelKind kind, int id, Channel client)
    {
        var channel = relays.Hold(kind, id, client);
        try
        {
            Add(channel);
        }
        catch
        {
            Drop(channel);
            throw;
        }

        return channel;
    }

    /// <summary>Adds a channel, in the place of an earlier one of the same kind and number.</summary>
    public void Add(ChannelRelay channel)
    {
        lock (_gate)
        {
            foreach (var old in _shown.Where(r => r.Kind == channel.Kind && r.Id == channel.Id).ToList())
            {
                RemoveLocked(old);
            }

            _shown.Add(channel);
        }

        _liveness ??= PeerLiveness.Start(
            Ends, acknowledgementTimeout, time, static (channel, _) => channel.Reset()); // the relay's thread finds the end
    }

    /// <summary>Removes a channel that no snapshot needs to show any more.</summary>
    public void Remove(ChannelRelay channel)
    {
        lock (_gate)
        {
            RemoveLocked(channel);
        }
    }

    /// <summary>Ends a channel that has come to nothing, and removes it.</summary>
    public void Drop(ChannelRelay channel)
    {
        relays.Abort(channel);
        Remove(channel);
    }

    /// <summary>Ends all channels. They stay in the snapshots.</summary>
    public void AbortAll()
    {
        foreach (var channel in Shown())
        {
            relays.Abort(channel);
        }
    }

    /// <summary>Returns the channels, with rates over the time since the previous call.</summary>
    public IReadOnlyList<GuardChannel> Snapshot()
    {
        lock (_gate)
        {
            var now = time.GetTimestamp();
            var seconds = _shownAt == 0 ? 0 : time.GetElapsedTime(_shownAt, now).TotalSeconds;
            _shownAt = now;
            return [.. _shown.OrderBy(r => r.Kind).ThenBy(r => r.Id).Select(r => ViewLocked(r, seconds))];
        }
    }

    /// <summary>Ends the watch. The channels end with their relays.</summary>
    public void Dispose() => _liveness?.Dispose();

    /// <summary>
    /// The sockets of both sides, in which vanished peers are looked for. A QEMU on another machine may rightly keep its window closed for
    /// long, so its sockets have no TCP_USER_TIMEOUT, and the kernel alone would take a quarter of an hour to notice that the machine is
    /// gone.
    /// </summary>
    private IEnumerable<Channel> Ends() =>
        Shown().SelectMany(static r => (RelayEnd?[])[r.Client, r.Qemu]).OfType<RelayEnd>().Select(static end => end.Channel);

    private ChannelRelay[] Shown()
    {
        lock (_gate)
        {
            return [.. _shown];
        }
    }

    private GuardChannel ViewLocked(ChannelRelay channel, double seconds)
    {
        var client = channel.ClientBytes;
        var qemu = channel.QemuBytes;
        var known = _bytesBefore.TryGetValue(channel, out var before);
        _bytesBefore[channel] = client + qemu;
        return new GuardChannel
        {
            Kind = channel.Kind,
            Id = channel.Id,
            Peer = channel.Peer,
            BytesIn = client,
            BytesOut = qemu,
            BytesPerSecond = known && seconds > 0 ? (client + qemu - before) / seconds : 0,
            State = channel.State,
        };
    }

    private void RemoveLocked(ChannelRelay channel)
    {
        _shown.Remove(channel);
        _bytesBefore.Remove(channel);
    }
}
