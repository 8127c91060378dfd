using System.Net.Sockets;
using System.Security.Authentication;

namespace DataPlane.Transport.Tls;

/// <summary>How a dialled connection becomes a channel inside TLS.</summary>
/// <param name="Credentials">A client's.</param>
/// <param name="Host">Name or address that the server's certificate must carry.</param>
/// <param name="Timeout">Longest time for the handshake.</param>
internal sealed record TlsDial(TlsCredentials Credentials, string Host, TimeSpan Timeout)
{
    /// <summary>Does the handshake on <paramref name="socket"/>, which belongs to the channel afterwards and is closed on failure.</summary>
    /// <exception cref="ChannelException">There will be no session; says why.</exception>
    internal async Task<Channel> SecureAsync(
        SafeSocketHandle socket, string name, string peer, BlockPool pool, TimeProvider time, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(Timeout, time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
        TlsSession? session = null;
        try
        {
            session = Credentials.Context.NewSession(Host);
            // A thread for the wait alone: the pool must not be emptied by peers that do not answer.
            await Task.Factory.StartNew(
                () => TlsHandshake.Run(session, socket, linked.Token), CancellationToken.None,
                TaskCreationOptions.LongRunning, TaskScheduler.Default).ConfigureAwait(false);
            return new Channel(socket, name, peer, pool, time, session);
        }
        catch (Exception e)
        {
            session?.Dispose();
            socket.Dispose();
            throw e switch
            {
                OperationCanceledException when !cancellationToken.IsCancellationRequested => new ChannelException(
                    FailureReason.TlsFailed, name, $"{peer} did not complete the TLS handshake within {Timeout.TotalSeconds:0.###} s"),
                AuthenticationException or TlsCredentialsException => new ChannelException(
                    FailureReason.TlsFailed, name, $"no TLS with {peer}: {e.Message}", e),
                _ => e,
            };
        }
    }
}
