using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;

namespace DataPlane.Transport.Tls;

/// <summary>How a dialled connection becomes a channel inside TLS.</summary>
/// <param name="Credentials">The credentials of a client.</param>
/// <param name="Host">Name or address that the server's certificate must carry.</param>
/// <param name="Timeout">Longest time for the handshake.</param>
internal sealed record TlsDial(TlsCredentials Credentials, string Host, TimeSpan Timeout)
{
    /// <summary>The name that the server's certificate must carry: <paramref name="given"/>, or else the host of the address.</summary>
    /// <exception cref="ChannelException">The address is a Unix socket, which has no host, and no name was given.</exception>
    public static string HostOf(ChannelAddress address, string? given) => given is { Length: > 0 } ? given
        : address.IsUnix ? throw new ChannelException(
            FailureReason.TlsFailed, ChannelId.Main, $"{address} has no host: the name in the destination's certificate must be given")
        : address.Host.Length == 0 ? "localhost" : address.Host;

    /// <summary>
    /// Does the handshake on <paramref name="socket"/>, which belongs to the channel afterwards and is closed on failure.
    /// </summary>
    /// <exception cref="ChannelException">The handshake failed or took too long; the message has the reason.</exception>
    public async Task<Channel> SecureAsync(
        SafeSocketHandle socket, ChannelId id, string peer, BlockPool pool, TimeProvider time, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(Timeout, time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
        TlsSession? session = null;
        try
        {
            if (!OpenSsl.IsAvailable)
            {
                return new Channel(await BridgeAsync(socket, id, time, linked.Token).ConfigureAwait(false), id, peer, pool, time);
            }

            session = Credentials.Context.NewSession(Host);
            await TlsHandshake.RunAsync(session, socket, linked.Token).ConfigureAwait(false);
            return new Channel(socket, id, peer, pool, time, session);
        }
        catch (Exception e)
        {
            session?.Dispose();
            socket.Dispose();
            throw e switch
            {
                OperationCanceledException when !cancellationToken.IsCancellationRequested => new ChannelException(
                    FailureReason.TlsFailed, id,
                        $"{peer} did not complete the TLS handshake within {Timeout.TotalSeconds:0.###} s; perhaps it expects none"),
                AuthenticationException or TlsCredentialsException or ArgumentException => new ChannelException(
                    FailureReason.TlsFailed, id, $"no TLS with {peer}: {e.Message}", e),
                _ => e,
            };
        }
    }

    /// <summary>
    /// Does the handshake with the runtime's TLS, where there is no OpenSSL 3; the plain bytes are on a socket of our own.
    /// </summary>
    private async Task<SafeSocketHandle> BridgeAsync(
        SafeSocketHandle socket, ChannelId id, TimeProvider time, CancellationToken cancellationToken)
    {
        var outer = new Socket(socket);
        var raw = new PrefixedStream(new NetworkStream(outer, ownsSocket: true), default);
        var tls = new SslStream(raw);
        try
        {
            await tls.AuthenticateAsClientAsync(Credentials.ClientOptions(Host), cancellationToken).ConfigureAwait(false);
            raw.ReadAhead();
            _ = TlsBridge.Begin(tls, outer, sendsCloseNotify: id != ChannelId.Main && id != ChannelId.Preempt, time, out var inner);
            return inner;
        }
        catch (Exception e)
        {
            await tls.DisposeAsync().ConfigureAwait(false);
            throw e is IOException ? new AuthenticationException(e.Message, e) : e;
        }
    }
}
