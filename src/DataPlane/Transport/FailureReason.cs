namespace DataPlane;

/// <summary>Why a channel, and with it a migration, ended without success.</summary>
public enum FailureReason
{
    /// <summary>The peer could not be reached, or an address could not be opened.</summary>
    ConnectFailed,

    /// <summary>The peer closed a channel before its end.</summary>
    PeerClosed,

    /// <summary>The peer, or the network between, reset a channel.</summary>
    PeerReset,

    /// <summary>Nothing moved for longer than the time limit.</summary>
    Stalled,

    /// <summary>The peer sent bytes that are not a migration stream, or a record that breaks its layout.</summary>
    MalformedStream,

    /// <summary>The peer sent well-formed records in an order, or with contents, that the protocol forbids.</summary>
    ProtocolViolation,

    /// <summary>A size or count is above what the options allow.</summary>
    LimitExceeded,

    /// <summary>The peer uses a legal feature of the protocol that is not supported here.</summary>
    NotSupported,

    /// <summary>The other side reported that it cannot go on.</summary>
    PeerRefused,

    /// <summary>The host's own part failed: its memory, its device state, its storage.</summary>
    HostFailed,

    /// <summary>The peer was lost, or did not answer, at the handover: nobody here can know which side owns the guest.</summary>
    OutcomeUnknown,

    /// <summary>
    /// A TLS session could not be established, or broke: the handshake failed or took too long, one end refused the other's certificate, or
    /// a record is not genuine.
    /// </summary>
    TlsFailed,

    /// <summary>A system call of this side failed.</summary>
    LocalFailure,

    /// <summary>
    /// The guest was handed over by postcopy and runs at the destination, but not all of its memory is known to be there.
    /// </summary>
    GuestAtDestination,
}
