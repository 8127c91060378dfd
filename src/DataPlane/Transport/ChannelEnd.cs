namespace DataPlane.Transport;

/// <summary>Why a channel can send or receive no more bytes.</summary>
internal enum ChannelEnd
{
    /// <summary>The channel has not ended.</summary>
    None,

    /// <summary>The peer finished its direction in order (FIN); everything it sent has been read.</summary>
    Closed,

    /// <summary>The peer reset the connection (RST), or had gone away when bytes were sent (EPIPE).</summary>
    Reset,

    /// <summary><see cref="Channel.Abort"/> was called here.</summary>
    Aborted,

    /// <summary>The kernel gave the peer up: keepalive, user timeout or retransmissions ran out; or connecting took too long.</summary>
    TimedOut,

    /// <summary>Any other failure, such as no route, no memory or a mistake of ours; the error number has the reason.</summary>
    Failed,
}
