using DataPlane.Guard.Relay;
using DataPlane.Guard.Tls;
using DataPlane.Transport;

namespace DataPlane.Guard.Session;

/// <summary>The outcome of a TLS session's handshake with QEMU.</summary>
/// <param name="Relay">The session.</param>
/// <param name="Result">How the handshake ended.</param>
/// <param name="Qemu">The session's connection to QEMU if it was let in, else null; whoever handles the event owns it.</param>
/// <param name="Bytes">The number of the client's bytes that QEMU has had.</param>
/// <param name="Next">The client's bytes that were read and that QEMU gets next.</param>
/// <param name="Error">Why QEMU could not be reached; null when it was.</param>
internal sealed record TlsIntroduced(
    ChannelRelay Relay, IntroductionResult Result, Channel? Qemu, long Bytes, ReadOnlyMemory<byte> Next, string? Error);
