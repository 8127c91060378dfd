namespace DataPlane.Guard.Relay;

/// <summary>Why a relay is over.</summary>
internal enum RelayEnding
{
    /// <summary>The relay is not over.</summary>
    None,

    /// <summary>Both sides finished in order.</summary>
    Closed,

    /// <summary>The client vanished, or broke the connection.</summary>
    ClientLost,

    /// <summary>QEMU closed with bytes of the client unread, or died.</summary>
    QemuLost,

    /// <summary>The guard ended the relay.</summary>
    Aborted,
}
