using System.Net.Sockets;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Turns an accepted connection that has begun a TLS handshake into one whose bytes can be read. It is given a connection once
/// the whole first record is there, and whoever gave it reads on from what comes back.
/// </summary>
internal interface IChannelUpgrade : IDisposable
{
    /// <summary>
    /// Does the handshake, many at a time. Called by the admission thread: no work of the handshake is done before this returns, and none of
    /// it is left to a thread that others wait for.
    /// </summary>
    /// <param name="socket">
    /// The connection, blocking and in no poll set; from the call on it belongs to the upgrade, also when that fails.
    /// </param>
    /// <param name="peer">The other end, for messages.</param>
    /// <param name="consumed">All that was read from it: the first record, and perhaps more.</param>
    /// <param name="cancellationToken">
    /// The connection is not wanted any more: too slow, or too many of them. Its socket is disposed of then, by whoever has given it.
    /// </param>
    /// <exception cref="Exception">There will be no such connection; the message says why.</exception>
    Task<UpgradedConnection> UpgradeAsync(
        SafeSocketHandle socket, string peer, ReadOnlyMemory<byte> consumed, CancellationToken cancellationToken);
}

/// <summary>What an upgrade has made of a connection.</summary>
/// <param name="Socket">A blocking stream socket; whoever gets it owns it.</param>
/// <param name="Session">Through which to read and write it; without one the socket itself gives what the peer says inside.</param>
internal sealed record UpgradedConnection(SafeSocketHandle Socket, TlsSession? Session = null) : IDisposable
{
    public void Dispose()
    {
        Session?.Dispose();
        Socket.Dispose();
    }
}
