using System.Security.Authentication;

namespace DataPlane.Transport.Tls;

/// <summary>The connection ended in the handshake, and nothing shows why.</summary>
internal sealed class TlsLostException(string message) : AuthenticationException(message);
