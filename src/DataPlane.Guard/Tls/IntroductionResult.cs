namespace DataPlane.Guard.Tls;

/// <summary>The result of a session's handshake with QEMU.</summary>
internal enum IntroductionResult
{
    /// <summary>QEMU has finished the handshake and kept the connection.</summary>
    LetIn,

    /// <summary>QEMU has ended the connection: the client has no certificate, or a wrong one, or does not send TLS.</summary>
    Refused,

    /// <summary>The handshake did not end in time, or bytes passed that are not TLS.</summary>
    Cut,

    /// <summary>The client has closed the connection.</summary>
    Left,

    /// <summary>
    /// Nothing was found out about the client: the guard had no descriptor, memory or thread for the session or came to its end, or QEMU
    /// could not be reached.
    /// </summary>
    NotServed,
}
