namespace DataPlane.Transport.Tls;

/// <summary>The result of a call into a <see cref="TlsSession"/>.</summary>
internal enum TlsResult
{
    /// <summary>The call did what was asked.</summary>
    Done,

    /// <summary>The call needs more bytes from the socket.</summary>
    NeedsInput,

    /// <summary>The outgoing bytes must be sent first.</summary>
    NeedsOutput,

    /// <summary>The peer has sent close_notify, so nothing follows.</summary>
    Ended,

    /// <summary>The session is broken; <see cref="TlsSession.Failure"/> has the reason, unless the session was disposed of.</summary>
    Failed,
}
