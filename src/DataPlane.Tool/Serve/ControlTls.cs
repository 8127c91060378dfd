using System.Net.Security;
using System.Net.Sockets;
using DataPlane.Transport.Tls;

namespace DataPlane.Tool.Serve;

/// <summary>
/// Takes the control connection inside TLS where the channels of the migration are, because its messages decide about them.
/// </summary>
internal static class ControlTls
{
    /// <summary>The time limit for the handshake.</summary>
    public static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(5);

    /// <summary>Makes the stream for a control connection's messages, which is plain without credentials.</summary>
    /// <param name="socket">The connection. The stream owns it, and it is closed on failure.</param>
    /// <param name="credentials">The credentials of either end; null for a plain connection.</param>
    /// <param name="host">For a client: the name or address that the server's certificate must carry.</param>
    /// <param name="time">The clock of the handshake's limit.</param>
    /// <param name="cancellation">Ends the handshake early.</param>
    /// <exception cref="System.Security.Authentication.AuthenticationException">
    /// There is no TLS with this peer; the message tells why.
    /// </exception>
    /// <exception cref="TlsCredentialsException">The TLS library here cannot do what the credentials ask for.</exception>
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
