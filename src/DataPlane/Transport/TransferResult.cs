namespace DataPlane.Transport;

/// <summary>
/// The result of a transfer: the bytes that were moved, and why it stopped early if it did. Such errors are returned, not thrown.
/// </summary>
/// <param name="Bytes">Bytes that were moved by this call, also when it did not complete.</param>
/// <param name="End">Why the call stopped early; <see cref="ChannelEnd.None"/> when everything was moved.</param>
/// <param name="Errno">The system's error number; 0 where there was none.</param>
internal readonly record struct TransferResult(long Bytes, ChannelEnd End, int Errno)
{
    public bool Complete => End == ChannelEnd.None;
}

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
