namespace DataPlane.Admission;

/// <summary>A connection that was refused.</summary>
/// <param name="reason">Why.</param>
/// <param name="peer">The peer's address and port, or the path of the Unix listener it came to.</param>
/// <param name="detail">What the TLS handshake failed for, or how TLS ended; else <see langword="null"/>.</param>
public sealed class RefusalEventArgs(RefusalReason reason, string peer, string? detail = null) : EventArgs
{
    /// <summary>Why it was refused.</summary>
    public RefusalReason Reason { get; } = reason;

    /// <summary>The peer's address and port, or the path of the Unix listener it came to.</summary>
    public string Peer { get; } = peer;

    /// <summary>What the TLS handshake failed for, or how TLS ended, in one line; else <see langword="null"/>.</summary>
    public string? Detail { get; } = detail;
}
