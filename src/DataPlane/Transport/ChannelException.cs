namespace DataPlane.Transport;

/// <summary>
/// A channel failed. It carries everything that a <c>MigrationException</c> reports but the phase, which the layers below do not know.
/// </summary>
internal sealed class ChannelException : IOException
{
    public ChannelException(FailureReason reason, string channel, string message, Exception? inner = null)
        : base(message, inner)
    {
        Reason = reason;
        Channel = channel;
    }

    public ChannelException(FailureReason reason, ChannelId channel, string message, Exception? inner = null)
        : this(reason, channel.ToString(), message, inner)
    {
    }

    /// <summary>
    /// Creates the exception for a refused system call, or for a channel that the peer has ended. The message is <paramref name="what"/>,
    /// followed by a description of <paramref name="errno"/> unless that is 0.
    /// </summary>
    public ChannelException(string channel, ChannelEnd end, int errno, string what)
        : base(errno == 0 ? what : $"{what}: {Linux.Errno.Describe(errno)}")
    {
        Reason = ReasonOf(end);
        Channel = channel;
        End = end;
        Errno = errno;
    }

    /// <summary>Creates the exception for a channel that has ended, where <paramref name="message"/> already describes the error.</summary>
    public ChannelException(string channel, ChannelEnd end, string message, int errno)
        : base(message)
    {
        Reason = ReasonOf(end);
        Channel = channel;
        End = end;
        Errno = errno;
    }

    public FailureReason Reason { get; }

    /// <summary>The channel's name, such as <c>main</c> or <c>multifd 3</c>.</summary>
    public string Channel { get; }

    /// <summary>How the connection ended; <see cref="ChannelEnd.None"/> where it was not the connection that failed.</summary>
    public ChannelEnd End { get; }

    /// <summary>The system's error number, 0 where there was none.</summary>
    public int Errno { get; }

    /// <summary>
    /// The exception for a transfer that did not complete. <paramref name="doing"/> is what was being done, such as "reading a packet
    /// header".
    /// </summary>
    public static ChannelException From(TransferResult result, Channel channel, string doing) =>
        result.End == ChannelEnd.Aborted && channel.AbortCause is { } cause
            ? new(cause.Reason, cause.Channel, cause.Message, cause)
        : channel.TlsFailure is { } failure && result.End != ChannelEnd.Aborted
            ? new(FailureReason.TlsFailed, channel.Name, $"{failure} (while {doing})")
        : result.Errno == Linux.Errno.EPROTO
            ? new(FailureReason.PeerClosed, channel.Name, $"the connection ended inside a TLS record while {doing}")
        : new(channel.Name, result.End, result.Errno, result.End switch
        {
            ChannelEnd.Closed => $"the peer closed the connection while {doing}",
            ChannelEnd.Reset => $"the connection was reset while {doing}",
            ChannelEnd.TimedOut => $"the network timed out while {doing}",
            ChannelEnd.Aborted => $"closed by us while {doing}",
            _ when result.Errno == Linux.Errno.EFAULT =>
                $"memory of the guest could not be read while {doing} (its file became shorter, or its disk failed)",
            _ => $"failed while {doing}",
        });

    public static ChannelException Malformed(string channel, string message) => new(FailureReason.MalformedStream, channel, message);

    public static ChannelException Malformed(ChannelId channel, string message) => Malformed(channel.ToString(), message);

    public static ChannelException Violation(string channel, string message) => new(FailureReason.ProtocolViolation, channel, message);

    public static ChannelException Violation(ChannelId channel, string message) => Violation(channel.ToString(), message);

    private static FailureReason ReasonOf(ChannelEnd end) => end switch
    {
        ChannelEnd.Closed => FailureReason.PeerClosed,
        ChannelEnd.Reset => FailureReason.PeerReset,
        ChannelEnd.TimedOut => FailureReason.Stalled,
        _ => FailureReason.LocalFailure,
    };
}
