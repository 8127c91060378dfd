using System.Net.Sockets;
using System.Security.Authentication;

namespace DataPlane.Transport.Tls;

/// <summary>
/// The plain bytes of a TLS session as a stream over its socket, for code that does not work on channels. One reader and one writer at a
/// time. The end of the connection without close_notify is an end of the stream, unless it comes inside a record.
/// </summary>
/// <param name="socket">The socket below the session; it belongs to the stream.</param>
/// <param name="session">The session, with its handshake done; it belongs to the stream.</param>
internal sealed class TlsStream(Socket socket, TlsSession session) : ConnectionStream
{
    /// <summary>Does the handshake of a connection that has just been accepted or made, on a thread for that alone.</summary>
    /// <param name="socket">The socket, which belongs to the stream, and is closed on failure.</param>
    /// <param name="credentials">The credentials of either end.</param>
    /// <param name="host">For a client: the name or address that the server's certificate must carry.</param>
    /// <param name="limit">Longest time for the handshake.</param>
    /// <param name="time">Clock of the limit.</param>
    /// <param name="cancellationToken">Ends the handshake early.</param>
    /// <exception cref="AuthenticationException">The handshake failed or took too long; the message has the reason.</exception>
    /// <exception cref="TlsCredentialsException">OpenSSL cannot do what the credentials ask for.</exception>
    internal static async Task<TlsStream> SecureAsync(
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

        session.Hold();
        try
        {
            while (true)
            {
                var result = session.Decrypt(buffer.Span, out var done);
                if (result is TlsResult.Done or TlsResult.Ended)
                {
                    return done;
                }

                if (result != TlsResult.NeedsInput)
                {
                    throw Broken("reading");
                }

                var count = await socket.ReceiveAsync(session.PeekIncomingMemory(), cancellationToken).ConfigureAwait(false);
                if (count == 0)
                {
                    return session.HoldsPiece ? throw new IOException("the connection ended inside a TLS record") : 0;
                }

                session.ConfirmIncoming(count);
            }
        }
        catch (SocketException e)
        {
            throw new IOException(e.Message, e);
        }
        finally
        {
            session.Release();
        }
    }

    public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        session.Hold();
        try
        {
            while (!buffer.IsEmpty)
            {
                var result = session.Encrypt(buffer.Span, out var done);
                if (result is not (TlsResult.Done or TlsResult.NeedsOutput))
                {
                    throw Broken("writing");
                }

                buffer = buffer[done..];
                if (result == TlsResult.NeedsOutput)
                {
                    await SendOutgoingAsync(cancellationToken).ConfigureAwait(false);
                }
            }

            await SendOutgoingAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            session.Release();
        }
    }

    /// <summary>Sends close_notify, once.</summary>
    internal async Task ShutdownAsync(CancellationToken cancellationToken = default)
    {
        session.Hold();
        try
        {
            session.AppendCloseNotify();
            await SendOutgoingAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            session.Release();
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            socket.Dispose();
            session.Dispose();
        }

        base.Dispose(disposing);
    }

    private async ValueTask SendOutgoingAsync(CancellationToken cancellationToken)
    {
        try
        {
            while (session.PeekOwedMemory() is { IsEmpty: false } piece)
            {
                session.ConfirmOutgoing(await socket.SendAsync(piece, cancellationToken).ConfigureAwait(false));
            }
        }
        catch (SocketException e)
        {
            throw new IOException(e.Message, e);
        }
    }

    private IOException Broken(string doing) => new(session.Failure ?? $"the TLS session ended while {doing}");
}
