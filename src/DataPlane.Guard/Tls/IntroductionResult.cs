namespace DataPlane.Guard.Tls;

/// <summary>How a session's handshake with QEMU went.</summary>
internal enum IntroductionResult
{
    /// <summary>QEMU is past it and has kept the connection.</summary>
    LetIn,

    /// <summary>QEMU has ended the connection: another certificate, or none, or something that is no TLS.</summary>
    Refused,

    /// <summary>The client has not come to its end in time, or says what is no TLS.</summary>
    Cut,

    /// <summary>The client went.</summary>
    Left,

    /// <summary>The guard had no descriptor, memory or thread for it: nothing was found out about the client.</summary>
    NotServed,
}
