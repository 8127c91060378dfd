namespace DataPlane.Transport;

/// <summary>Why a channel gives or takes no more bytes.</summary>
internal enum ChannelEnd
{
    /// <summary>It has not ended.</summary>
    None,

    /// <summary>The peer finished its direction in order (FIN); everything it sent has been read.</summary>
    Closed,

    /// <summary>The peer tore the connection down, or takes no more (RST; EPIPE after it went away).</summary>
    Reset,

    /// <summary><see cref="Channel.Abort"/> was called here.</summary>
    Aborted,

    /// <summary>The kernel gave the peer up: keepalive, user timeout or retransmissions ran out, or connecting took too long.</summary>
    TimedOut,

    /// <summary>Anything else: no route, no memory, a mistake of ours. The error number says which.</summary>
    Failed,
}
