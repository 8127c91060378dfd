namespace DataPlane.Transport.Tls;

/// <summary>Which end of the TLS sessions credentials are for. A migration's source is the client, its destination the server.</summary>
public enum TlsEnd
{
    /// <summary>The end that accepts connections: the destination.</summary>
    Server,

    /// <summary>The end that connects: the source.</summary>
    Client,
}
