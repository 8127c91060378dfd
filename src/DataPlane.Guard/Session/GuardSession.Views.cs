using DataPlane.Guard.Relay;
using DataPlane.Transport;

namespace DataPlane.Guard.Session;

/// <summary>The channels as a snapshot shows them. Any thread may ask.</summary>
internal sealed partial class GuardSession
{
    private readonly Lock _viewGate = new();
    private readonly List<ChannelRelay> _views = [];
    private readonly Dictionary<ChannelRelay, long> _bytesBefore = [];
    private long _viewedAt;
    private PeerLiveness? _liveness;

    private ChannelRelay[] Views
    {
        get
        {
            lock (_viewGate)
            {
                return [.. _views];
            }
        }
    }

    /// <summary>
    /// The sockets of both sides, in which vanished peers are looked for. A QEMU on another machine may rightly keep its window closed for
    /// long, so its sockets have no TCP_USER_TIMEOUT, and the kernel alone would take a quarter of an hour to notice that the machine is
    /// gone.
    /// </summary>
    private IEnumerable<Transport.Channel> Ends() =>
        Views.SelectMany(static relay => (RelayEnd?[])[relay.Client, relay.Qemu]).OfType<RelayEnd>().Select(static end => end.Channel);

    /// <summary>Returns the channels, with rates over the time since the previous call.</summary>
    internal IReadOnlyList<GuardChannel> Channels()
    {
        lock (_viewGate)
        {
            var now = _time.GetTimestamp();
            var seconds = _viewedAt == 0 ? 0 : _time.GetElapsedTime(_viewedAt, now).TotalSeconds;
            _viewedAt = now;
            return [.. _views.OrderBy(r => r.Kind).ThenBy(r => r.Id).Select(r => View(r, seconds))];
        }
    }

    private GuardChannel View(ChannelRelay relay, double seconds)
    {
        var client = relay.ClientBytes;
        var qemu = relay.QemuBytes;
        var known = _bytesBefore.TryGetValue(relay, out var before);
        _bytesBefore[relay] = client + qemu;
        return new GuardChannel
        {
            Kind = relay.Kind,
            Id = relay.Id,
            Peer = relay.Peer,
            BytesIn = client,
            BytesOut = qemu,
            BytesPerSecond = known && seconds > 0 ? (client + qemu - before) / seconds : 0,
            State = relay.State,
        };
    }

    /// <summary>Adds a relay to the views, in the place of an earlier one of the same kind and number.</summary>
    private void AddView(ChannelRelay relay)
    {
        lock (_viewGate)
        {
            foreach (var old in _views.Where(r => r.Kind == relay.Kind && r.Id == relay.Id).ToList())
            {
                Remove(old);
            }

            _views.Add(relay);
        }

        _liveness ??= PeerLiveness.Start(Ends, _options.Sockets.AcknowledgementTimeout, _time);
    }

    private void RemoveView(ChannelRelay relay)
    {
        lock (_viewGate)
        {
            Remove(relay);
        }
    }

    private void Remove(ChannelRelay relay)
    {
        _views.Remove(relay);
        _bytesBefore.Remove(relay);
    }
}
