namespace DataPlane.Transport;

/// <summary>
/// Bounds a wait on a peer that nothing else ends: a write that must not be cancelled half way, or a blocking call of a thread. When the
/// time is over, the channel is aborted, and everybody who uses it then or later is told why (<see cref="FailureReason.Stalled"/>). Only
/// the caller can tell what that means for the guest, because it knows what had left before.
/// </summary>
/// <remarks>
/// A write that returns without an exception has been taken by the kernel as a whole, also where the deadline passed at the same moment.
/// Thread-safe.
/// </remarks>
internal sealed class PeerDeadline : IDisposable
{
    private readonly ITimer _timer;

    private PeerDeadline(Channel channel, TimeSpan limit, string doing, TimeProvider time)
    {
        _timer = time.CreateTimer(_ => Expire(channel, limit, doing), null, limit, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Starts the limit; disposing of the result ends it.</summary>
    /// <param name="channel">The channel that is waited on.</param>
    /// <param name="limit">The longest wait; <see cref="Timeout.InfiniteTimeSpan"/> for none.</param>
    /// <param name="doing">What is being done, such as "sending the last byte"; the message puts "while" before it.</param>
    /// <param name="time">The clock.</param>
    public static PeerDeadline Start(Channel channel, TimeSpan limit, string doing, TimeProvider time) =>
        new(channel, limit, doing, time);

    public void Dispose() => _timer.Dispose();

    private static void Expire(Channel channel, TimeSpan limit, string doing) =>
        channel.Abort(new ChannelException(
            FailureReason.Stalled, channel.Name, $"the peer took nothing for {limit.TotalSeconds:0.###} s while {doing}"));
}
