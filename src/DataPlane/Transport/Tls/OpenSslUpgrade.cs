using System.Net.Sockets;
using System.Security.Authentication;
using DataPlane.Linux;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Does the handshakes of a destination with the system's OpenSSL. The channels themselves then read and write through the sessions.
/// </summary>
internal sealed class OpenSslUpgrade : IChannelUpgrade
{
    private readonly TlsContext _context;
    private readonly ReadableWaiter _readable = new("dp-tls");
    private readonly TlsThreads _threads = new();

    /// <exception cref="TlsCredentialsException">OpenSSL does not take the credentials.</exception>
    public OpenSslUpgrade(TlsCredentials credentials) => _context = credentials.Context;

    /// <summary>
    /// Creates this upgrade, or a <see cref="TlsBridgeUpgrade"/> where OpenSSL 3 is not available. The caller disposes of it.
    /// </summary>
    /// <exception cref="TlsCredentialsException">The TLS library of this system cannot do what the credentials ask for.</exception>
    public static IChannelUpgrade Create(TlsCredentials credentials, TimeProvider time) =>
        OpenSsl.IsAvailable ? new OpenSslUpgrade(credentials) : new TlsBridgeUpgrade(credentials, time);

    public Task<UpgradedConnection> UpgradeAsync(
        SafeSocketHandle socket, string peer, ReadOnlyMemory<byte> consumed, CancellationToken cancellationToken) =>
        Task.Factory.StartNew(
            () => ShakeHandsAsync(socket, consumed, cancellationToken),
            CancellationToken.None, TaskCreationOptions.DenyChildAttach, _threads)
            .Unwrap();

    public void Dispose()
    {
        _readable.Dispose();
        _threads.Dispose();
    }

    /// <summary>Does a handshake. Every step runs on one of the threads for handshakes, also after an await.</summary>
    private async Task<UpgradedConnection> ShakeHandsAsync(
        SafeSocketHandle socket, ReadOnlyMemory<byte> consumed, CancellationToken cancellationToken)
    {
        TlsSession? session = null;
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            session = _context.NewSession();
            session.Prepend(consumed.Span);
            for (TlsResult step; (step = TlsHandshake.Advance(session, socket)) != TlsResult.Done;)
            {
                // A new socket takes the few messages of a server at once, unless its peer misbehaves.
                if (step != TlsResult.NeedsInput)
                {
                    throw new AuthenticationException("the peer takes none of the handshake's bytes");
                }

                await _readable.WaitAsync(socket, cancellationToken).ConfigureAwait(true);
            }

            cancellationToken.ThrowIfCancellationRequested();
            return new UpgradedConnection(socket, session);
        }
        catch
        {
            session?.Dispose();
            socket.Dispose();
            throw;
        }
    }
}
