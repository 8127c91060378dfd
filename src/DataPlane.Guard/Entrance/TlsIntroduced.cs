using DataPlane.Guard.Relay;
using DataPlane.Guard.Tls;
using DataPlane.Transport;

namespace DataPlane.Guard.Entrance;

/// <summary>The outcome of a TLS session's handshake with QEMU.</summary>
/// <param name="Relay">The session.</param>
/// <param name="Result">How the handshake ended.</param>
internal sealed record TlsIntroduced(ChannelRelay Relay, IntroductionResult Result)
{
    /// <summary>The session's connection to QEMU if it was let in, else null. Whoever handles the outcome owns it.</summary>
    public Channel? Qemu { get; init; }

    /// <summary>The number of the client's bytes that QEMU has had.</summary>
    public long Bytes { get; init; }

    /// <summary>The client's bytes that were read and that QEMU gets next.</summary>
    public ReadOnlyMemory<byte> Next { get; init; }

    /// <summary>Why QEMU could not be reached; null when it was.</summary>
    public string? Error { get; init; }

    /// <summary>Closes the connection to QEMU, because nobody handles the outcome any more.</summary>
    public void Drop() => Qemu?.Abort();
}
