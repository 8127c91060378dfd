using System.Net.Sockets;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Turns an accepted connection that has begun a TLS handshake into one whose bytes can be read. It is given a connection once the whole
/// first record is there, and the caller then reads from the result.
/// </summary>
internal interface IChannelUpgrade : IDisposable
{
    /// <summary>
    /// Does the handshake; many may run at a time. The admission thread calls it: no work of the handshake is done before it returns, and
    /// none of it runs on a thread for which others wait.
    /// </summary>
    /// <param name="socket">
    /// The connection, blocking and in no poll set. It belongs to the upgrade from the call on, also when that fails.
    /// </param>
    /// <param name="peer">The other end, for messages.</param>
    /// <param name="consumed">All bytes that were read from it: the first record, and perhaps more.</param>
    /// <param name="cancellationToken">
    /// Cancelled when the connection is not wanted any more, because it is too slow or there are too many. The caller then disposes of its
    /// socket.
    /// </param>
    /// <exception cref="Exception">The handshake failed, or the connection was lost; the message has the reason.</exception>
    Task<UpgradedConnection> UpgradeAsync(
        SafeSocketHandle socket, string peer, ReadOnlyMemory<byte> consumed, CancellationToken cancellationToken);
}

/// <summary>The result of an upgrade.</summary>
/// <param name="Socket">A blocking stream socket; whoever gets it owns it.</param>
/// <param name="Session">
/// The session through which to read and write the socket; null when the socket itself carries the plain bytes.
/// </param>
internal sealed record UpgradedConnection(SafeSocketHandle Socket, TlsSession? Session = null) : IDisposable
{
    public void Dispose()
    {
        Session?.Dispose();
        Socket.Dispose();
    }
}
