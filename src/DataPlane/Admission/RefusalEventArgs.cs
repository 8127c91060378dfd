namespace DataPlane.Admission;

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
