using System.Net.Security;
using System.Net.Sockets;
using DataPlane.Transport.Tls;

namespace DataPlane.Tool.Serve;

/// <summary>Takes the control connection inside TLS where the channels of the migration are: what it says decides about them.</summary>
internal static class ControlTls
{
    /// <summary>Longest time for the handshake.</summary>
    public static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(5);

    /// <summary>The stream for a control connection's messages; plain without credentials.</summary>
    /// <param name="socket">Belongs to the stream, and is closed on failure.</param>
    /// <param name="credentials">Of either end; null for none.</param>
    /// <param name="host">For a client: the name or address that the server's certificate must carry.</param>
    /// <param name="time">Clock of the handshake's limit.</param>
    /// <param name="cancellation">Ends the handshake early.</param>
    /// <exception cref="System.Security.Authentication.AuthenticationException">There will be no TLS; says why.</exception>
    /// <exception cref="TlsCredentialsException">The TLS that is there cannot do what the credentials ask for.</exception>
    public static async Task<Stream> SecureAsync(
        Socket socket, TlsCredentials? credentials, string? host, TimeProvider time, CancellationToken cancellation)
    {
        if (credentials is null)
        {
            return new NetworkStream(socket, ownsSocket: true);
        }

        if (OpenSsl.IsAvailable)
        {
            return await TlsStream.SecureAsync(socket, credentials, host, HandshakeTimeout, time, cancellation).ConfigureAwait(false);
        }

        var stream = new SslStream(new NetworkStream(socket, ownsSocket: true));
        using var deadline = new CancellationTokenSource(HandshakeTimeout, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellation);
        try
        {
            if (host is null)
            {
                await stream.AuthenticateAsServerAsync(credentials.ServerOptions(), both.Token).ConfigureAwait(false);
            }
            else
            {
                await stream.AuthenticateAsClientAsync(credentials.ClientOptions(host), both.Token).ConfigureAwait(false);
            }

            return stream;
        }
        catch
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }
}
