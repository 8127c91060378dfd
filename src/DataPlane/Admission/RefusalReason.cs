namespace DataPlane;

/// <summary>Why a connection was closed without becoming a channel. Such a connection never affects the migration itself.</summary>
public enum RefusalReason
{
    /// <summary>The connection had not sent a byte by its deadline.</summary>
    Silent,

    /// <summary>The connection's first bytes were right so far but not complete by its deadline.</summary>
    Incomplete,

    /// <summary>The connection proved to be a main channel, but there is one already, which stays.</summary>
    SecondMain,

    /// <summary>A known magic with a version that is not supported.</summary>
    Version,

    /// <summary>A multifd channel where none is expected, or in a recovery.</summary>
    NoMultifd,

    /// <summary>A multifd channel id that is not below the number of channels.</summary>
    IdRange,

    /// <summary>A multifd channel id that is already taken; the first channel stays.</summary>
    IdTaken,

    /// <summary>A multifd channel of another VM.</summary>
    Uuid,

    /// <summary>
    /// The beginning of a channel that has no place in the present state, such as a recovery command while nothing is paused, or a page
    /// record where no preempt channel is expected.
    /// </summary>
    Unexpected,

    /// <summary>A recovered main channel whose first command is malformed or names an unknown RAM block.</summary>
    BadRecovery,

    /// <summary>A page record that is malformed, or of a page that nobody asked for.</summary>
    BadPreempt,

    /// <summary>A page record where the preempt channel has been found already.</summary>
    LostCandidacy,

    /// <summary>A page record from another address than the main channel's.</summary>
    ForeignPeer,

    /// <summary>The peer's address is in none of the networks that may connect.</summary>
    NotAllowed,

    /// <summary>A TLS handshake on a listener without TLS.</summary>
    TlsOnPlain,

    /// <summary>The beginning of a plain channel where TLS is expected.</summary>
    PlainOnTls,

    /// <summary>A TLS handshake that failed, or was not over by its deadline.</summary>
    TlsHandshake,

    /// <summary>Bytes that begin no channel.</summary>
    Garbage,

    /// <summary>The peer closed or reset the connection before it was decided.</summary>
    Closed,

    /// <summary>
    /// The connection had to go when room was needed; <see cref="AdmissionOptions.MaxUndecided"/> describes which one goes.
    /// </summary>
    Evicted,

    /// <summary>Admission ended before the connection was decided.</summary>
    Stopped,

    /// <summary>
    /// The connection was admitted, and its migration failed before anything had been made for it: its stream was wrong or ended at once,
    /// or its other channels did not come. Another migration may come.
    /// </summary>
    FalseStart,
}

/// <summary>Describes a refused connection.</summary>
/// <param name="reason">Why the connection was refused.</param>
/// <param name="peer">The peer's address and port, or the path of the Unix listener it came to.</param>
/// <param name="detail">More about the reason; else <see langword="null"/>.</param>
public sealed class RefusalEventArgs(RefusalReason reason, string peer, string? detail = null) : EventArgs
{
    /// <summary>Why the connection was refused.</summary>
    public RefusalReason Reason { get; } = reason;

    /// <summary>The peer's address and port, or the path of the Unix listener it came to.</summary>
    public string Peer { get; } = peer;

    /// <summary>
    /// More about the reason, in one line: how TLS failed or ended, which limit left no room, or how a false start failed; else
    /// <see langword="null"/>.
    /// </summary>
    public string? Detail { get; } = detail;
}
