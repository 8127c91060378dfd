namespace DataPlane.Transport;

/// <summary>A channel can go no further. Carries what a <c>MigrationException</c> will say, apart from the phase, which the lower floors do not know.</summary>
internal sealed class ChannelException(FailureReason reason, string channel, string message, Exception? inner = null)
    : IOException(message, inner)
{
    public FailureReason Reason { get; } = reason;

    /// <summary>The channel's name, such as <c>main</c> or <c>multifd 3</c>.</summary>
    public string Channel { get; } = channel;

    /// <summary>The exception for a transfer that did not complete. <paramref name="doing"/> says what was going on, such as "reading a packet header".</summary>
    public static ChannelException From(TransferResult result, Channel channel, string doing) => result.End switch
    {
        ChannelEnd.Closed => new(FailureReason.PeerClosed, channel.Name, $"the peer closed the connection while {doing}"),
        ChannelEnd.Reset => new(FailureReason.PeerReset, channel.Name, $"the connection was reset while {doing}"),
        ChannelEnd.TimedOut => new(FailureReason.Stalled, channel.Name, $"the network timed out while {doing}"),
        ChannelEnd.Aborted => new(FailureReason.LocalFailure, channel.Name, $"closed by us while {doing}"),
        _ => new(FailureReason.LocalFailure, channel.Name, $"{Linux.Errno.Describe(result.Errno)} while {doing}"),
    };

    public static ChannelException Malformed(string channel, string message) => new(FailureReason.MalformedStream, channel, message);

    public static ChannelException Violation(string channel, string message) => new(FailureReason.ProtocolViolation, channel, message);
}
