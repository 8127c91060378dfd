using System.Net.Sockets;
using System.Security.Authentication;
using DataPlane.Linux;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Does the handshakes of a destination with the system's OpenSSL; the channels read and write through its sessions themselves.
/// </summary>
internal sealed class TlsSessionUpgrade : IChannelUpgrade
{
    private readonly TlsContext _context;
    private readonly ReadableWaiter _readable = new("dp-tls");
    private readonly TlsThreads _threads = new();

    /// <exception cref="TlsCredentialsException">OpenSSL does not take the credentials.</exception>
    internal TlsSessionUpgrade(TlsCredentials credentials) => _context = credentials.Context;

    /// <summary>This, or what stands in for it where the system has no OpenSSL 3; the caller disposes of it.</summary>
    /// <exception cref="TlsCredentialsException">What stands in for it cannot do what the credentials ask for.</exception>
    internal static IChannelUpgrade Create(TlsCredentials credentials, TimeProvider time) =>
        OpenSsl.IsAvailable ? new TlsSessionUpgrade(credentials) : new TlsServerUpgrade(credentials, time);

    public Task<UpgradedConnection> UpgradeAsync(
        SafeSocketHandle socket, string peer, ReadOnlyMemory<byte> consumed, CancellationToken cancellationToken) =>
        Task.Factory.StartNew(
            () => ShakeHandsAsync(socket, consumed, cancellationToken), CancellationToken.None, TaskCreationOptions.DenyChildAttach, _threads)
            .Unwrap();

    public void Dispose()
    {
        _readable.Dispose();
        _threads.Dispose();
    }

    /// <summary>Every step is one of the threads': what is awaited goes on there.</summary>
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
                // A fresh socket takes a server's few messages at once, unless its peer is up to something.
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
