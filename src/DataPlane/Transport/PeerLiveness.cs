namespace DataPlane.Transport;

/// <summary>
/// Notices that a peer has vanished while bytes for it are under way: its machine, or the network to it, is gone without a sign. Such a
/// channel is aborted, with that as its cause.
/// </summary>
/// <remarks>
/// <para>The kernel alone takes about 15 minutes, because its keepalive rests while bytes are unacknowledged. Its TCP_USER_TIMEOUT is no
/// substitute: it also ends a connection whose living peer does not read for a while. A living peer acknowledges whatever reaches it, read
/// or not, and answers the probes of a closed window. So a peer has vanished if something waits for an acknowledgement and none comes. This
/// costs one look per channel every two seconds (TCP_INFO), and nothing per packet.</para>
/// <para>For an idle channel there is keepalive. Unix sockets cannot lose their peer silently.</para>
/// </remarks>
internal sealed class PeerLiveness : IDisposable
{
    private static readonly TimeSpan s_period = TimeSpan.FromSeconds(2);

    private readonly Func<IEnumerable<Channel>> _channels;
    private readonly TimeSpan _limit;
    private readonly TimeProvider _time;
    private readonly Action<Channel, ChannelException> _onGone;
    private readonly Lock _gate = new();
    private readonly Dictionary<Channel, long> _waitingSince = [];
    private readonly ITimer _timer;
    private long _lastLook;

    private PeerLiveness(
        Func<IEnumerable<Channel>> channels, TimeSpan limit, TimeProvider time, Action<Channel, ChannelException> onGone)
    {
        _onGone = onGone;
        _channels = channels;
        _limit = limit;
        _time = time;
        _lastLook = time.GetTimestamp();
        _timer = time.CreateTimer(static watch => ((PeerLiveness)watch!).Look(), this, s_period, s_period);
    }

    /// <summary>Starts to watch; returns null when <paramref name="limit"/> is null.</summary>
    /// <param name="channels">Returns the channels that there are now; called on any thread.</param>
    /// <param name="limit">Longest time without an acknowledgement.</param>
    /// <param name="time">The clock.</param>
    /// <param name="onGone">Ends a channel whose peer is gone; null aborts it.</param>
    public static PeerLiveness? Start(
        Func<IEnumerable<Channel>> channels, TimeSpan? limit, TimeProvider time, Action<Channel, ChannelException>? onGone = null) =>
        limit is { } value
            ? new PeerLiveness(channels, value, time, onGone ?? (static (channel, cause) => channel.Abort(cause))) : null;

    public void Dispose() => _timer.Dispose();

    private void Look()
    {
        if (!_gate.TryEnter())
        {
            return; // the previous call has not ended yet
        }

        try
        {
            var now = _time.GetTimestamp();
            var sinceLook = _time.GetElapsedTime(_lastLook, now);
            _lastLook = now;
            Channel[] channels = [.. _channels()];
            foreach (var gone in _waitingSince.Keys.Except(channels).ToArray())
            {
                _waitingSince.Remove(gone);
            }

            foreach (var channel in channels)
            {
                Look(channel, now, sinceLook);
            }
        }
        finally
        {
            _gate.Exit();
        }
    }

    private void Look(Channel channel, long now, TimeSpan sinceLook)
    {
        if (!channel.AwaitsAcknowledgement(out var sinceLast))
        {
            _waitingSince.Remove(channel);
        }
        else if (sinceLast < sinceLook || !_waitingSince.TryGetValue(channel, out var since))
        {
            _waitingSince[channel] = now;
        }
        else if (_time.GetElapsedTime(since, now) >= _limit)
        {
            _onGone(channel, new ChannelException(
                FailureReason.Stalled, channel.Name,
                $"the peer has acknowledged nothing for {_limit.TotalSeconds:0.###} s: it, or the network to it, is gone"));
        }
    }
}
