using DataPlane.Guard.Relay;
using DataPlane.Guard.Tls;
using DataPlane.Transport;

namespace DataPlane.Guard.Course;

/// <summary>What came of a session's handshake.</summary>
/// <param name="Relay">The session.</param>
/// <param name="Result">How it went.</param>
/// <param name="Qemu">Its connection to QEMU, when it is let in; whoever handles the event owns it.</param>
/// <param name="Bytes">Bytes of the client that QEMU has had.</param>
/// <param name="Next">Bytes of the client that QEMU gets first.</param>
/// <param name="Error">Why QEMU could not be reached; null when it was.</param>
internal sealed record TlsIntroduced(
    ChannelRelay Relay, IntroductionResult Result, Channel? Qemu, long Bytes, ReadOnlyMemory<byte> Next, string? Error);
