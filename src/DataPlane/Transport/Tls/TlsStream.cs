using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Authentication;
using DataPlane.Linux;

namespace DataPlane.Transport.Tls;

/// <summary>
/// The plain bytes of a TLS session as a stream over its socket, for code that does not work on channels. One reader and one writer at a
/// time. The end of the connection without close_notify is an end of the stream, unless it comes inside a record.
/// </summary>
internal sealed class TlsStream : ConnectionStream
{
    private readonly ChannelSocket _socket;
    private readonly TlsSession _session;
    private readonly TlsReceiver _receiver;
    private readonly TlsSender _sender;

    /// <param name="socket">The socket below the session; it belongs to the stream.</param>
    /// <param name="session">The session, with its handshake done; it belongs to the stream.</param>
    public TlsStream(Socket socket, TlsSession session)
    {
        _socket = new ChannelSocket(socket, "tls");
        _session = session;
        _receiver = new TlsReceiver(_socket, session);
        _sender = new TlsSender(_socket, session, _receiver);
    }

    /// <summary>Does the handshake of a connection that has just been accepted or made, on a thread for that alone.</summary>
    /// <param name="socket">The socket, which belongs to the stream, and is closed on failure.</param>
    /// <param name="credentials">The credentials of either end.</param>
    /// <param name="host">For a client: the name or address that the server's certificate must carry.</param>
    /// <param name="limit">Longest time for the handshake.</param>
    /// <param name="time">Clock of the limit.</param>
    /// <param name="cancellationToken">Ends the handshake early.</param>
    /// <exception cref="AuthenticationException">The handshake failed or took too long; the message has the reason.</exception>
    /// <exception cref="TlsCredentialsException">OpenSSL cannot do what the credentials ask for.</exception>
    public static async Task<TlsStream> SecureAsync(
        Socket socket, TlsCredentials credentials, string? host, TimeSpan limit, TimeProvider time, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(limit, time);
        using var linked = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
        TlsSession? session = null;
        try
        {
            session = credentials.Context.NewSession(host);
            await TlsHandshake.RunAsync(session, socket.SafeHandle, linked.Token).ConfigureAwait(false);
            return new TlsStream(socket, session);
        }
        catch (Exception e)
        {
            session?.Dispose();
            socket.Dispose();
            if (e is OperationCanceledException && !cancellationToken.IsCancellationRequested)
            {
                throw new AuthenticationException($"the TLS handshake was not over within {limit.TotalSeconds:0.###} s", e);
            }

            throw;
        }
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.IsEmpty)
        {
            return 0;
        }

        var result = await _receiver.ReceiveAsync(buffer, cancellationToken).ConfigureAwait(false);
        return result.End is ChannelEnd.None or ChannelEnd.Closed ? (int)result.Bytes : throw Lost(result.Errno);
    }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var result = await _sender.SendAsync(buffer, cancellationToken).ConfigureAwait(false);
        if (!result.Complete)
        {
            throw Lost(result.Errno);
        }
    }

    /// <summary>Sends close_notify, once.</summary>
    public async Task ShutdownAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            _sender.EndWithCloseNotify();
            await _sender.SendLastAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (SocketException e)
        {
            throw new IOException(e.Message, e);
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _socket.Dispose();
            _session.Dispose();
        }

        base.Dispose(disposing);
    }

    private Exception Lost(int errno) => _session.Failure is { } failure ? new IOException(failure)
        : errno == Errno.ECONNABORTED ? new ObjectDisposedException(nameof(TlsStream))
        : new IOException(errno == Errno.EPROTO ? "the connection ended inside a TLS record" : Marshal.GetPInvokeErrorMessage(errno));
}
