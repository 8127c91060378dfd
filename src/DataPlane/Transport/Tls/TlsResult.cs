namespace DataPlane.Transport.Tls;

/// <summary>What a call into a <see cref="TlsSession"/> came to.</summary>
internal enum TlsResult
{
    /// <summary>It did what was asked.</summary>
    Done,

    /// <summary>It needs bytes of the socket.</summary>
    NeedsInput,

    /// <summary>What is outgoing must be sent first.</summary>
    NeedsOutput,

    /// <summary>The peer has sent close_notify: nothing follows.</summary>
    Ended,

    /// <summary>The session is broken; <see cref="TlsSession.Failure"/> says why, unless it was disposed of.</summary>
    Failed,
}
