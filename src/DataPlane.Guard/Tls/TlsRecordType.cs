namespace DataPlane.Guard.Tls;

/// <summary>The types of TLS records that tell how far a handshake is.</summary>
internal static class TlsRecordType
{
    internal const byte Change = 20;
    internal const byte Handshake = 22;
    internal const byte Data = 23;
}
