using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Authentication;
using DataPlane.Linux;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Moves the bytes of a handshake between session and socket: <see cref="Advance"/> without waiting, <see cref="Run"/> with waiting, for a
/// thread that has nothing else to do.
/// </summary>
internal static unsafe class TlsHandshake
{
    // A whole record is read in one turn, and no more work than that is done for one connection: 4 KiB hold 150 requests for new keys.
    private const int PiecesPerTurn = 5;
    private const int PieceBytes = 4096;

    /// <summary>
    /// Continues the handshake as far as it can without waiting. Returns <see cref="TlsResult.Done"/>, or the direction of the socket to
    /// wait for.
    /// </summary>
    /// <exception cref="AuthenticationException">
    /// The handshake failed; the message has the reason (<see cref="TlsLostException"/> where the connection has ended).
    /// </exception>
    public static TlsResult Advance(TlsSession session, SafeSocketHandle socket)
    {
        session.Hold();
        try
        {
            while (true)
            {
                var result = session.Handshake();
                var isSent = TrySend(session, socket);
                if (result is TlsResult.Failed or TlsResult.Ended)
                {
                    throw new AuthenticationException(session.Failure ?? "the peer ended TLS in the handshake");
                }

                if (!isSent)
                {
                    return TlsResult.NeedsOutput;
                }

                if (result == TlsResult.Done || !TryReceive(session, socket))
                {
                    return result;
                }
            }
        }
        finally
        {
            session.Release();
        }
    }

    /// <summary>Blocks until the handshake is done or the token is cancelled.</summary>
    /// <exception cref="AuthenticationException">
    /// The handshake failed; the message has the reason (<see cref="TlsLostException"/> where the connection has ended).
    /// </exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static void Run(TlsSession session, SafeSocketHandle socket, CancellationToken cancellationToken)
    {
        using EventFd wake = new();
        using var registration = cancellationToken.Register(static state => ((EventFd)state!).Signal(), wake);
        for (var result = Advance(session, socket); result != TlsResult.Done; result = Advance(session, socket))
        {
            var events = result == TlsResult.NeedsOutput ? PollCalls.PollOut : PollCalls.PollIn;
            _ = PollCalls.WaitFor(socket, events, wake, Timeout.Infinite);
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    /// <summary>As <see cref="Run"/>, on a thread of its own.</summary>
    public static Task RunAsync(TlsSession session, SafeSocketHandle socket, CancellationToken cancellationToken) =>
        OwnThread.RunAsync("dp-tls-dial", () => Run(session, socket, cancellationToken));

    /// <summary>Reads plain bytes without waiting. Returns <see cref="ReadOutcome.Full"/> as long as more may be there.</summary>
    public static ReadOutcome TryRead(TlsSession session, SafeSocketHandle socket, Span<byte> target, out int count)
    {
        count = 0;
        session.Hold();
        try
        {
            for (var pieces = 0; ; pieces++)
            {
                switch (session.Decrypt(target, out count))
                {
                    case TlsResult.Done:
                        return ReadOutcome.Full;
                    case TlsResult.NeedsInput:
                        // The rest stays in the socket, which is readable then: other connections have their turn first.
                        if (pieces == PiecesPerTurn || !TryReceive(session, socket, PieceBytes))
                        {
                            return ReadOutcome.Nothing;
                        }

                        break;
                    default:
                        return ReadOutcome.Gone;
                }
            }
        }
        catch (AuthenticationException)
        {
            return ReadOutcome.Gone; // the connection has ended
        }
        finally
        {
            session.Release();
        }
    }

    private static bool TrySend(TlsSession session, SafeSocketHandle socket)
    {
        while (session.PeekOutgoing() is { Length: > 0 } piece)
        {
            // SAFETY: the caller holds the session's memory.
            MsgHdr message = new() { Vectors = &piece, VectorCount = 1 };
            var done = SocketCalls.SendMessage(socket, &message, SocketCalls.MessageNoSignal | SocketCalls.MessageDontWait);
            if (done < 0)
            {
                var errno = Marshal.GetLastPInvokeError();
                // The peer is gone, but its last alert may still be readable, and tells more than the error number.
                return errno != Errno.EAGAIN && errno != Errno.EINTR;
            }

            session.ConfirmOutgoing((int)done);
        }

        return true;
    }

    private static bool TryReceive(TlsSession session, SafeSocketHandle socket, int limit = int.MaxValue)
    {
        var room = session.PeekIncoming();
        // SAFETY: at most as many bytes are written as the session has room for, and the caller holds its memory.
        var done = SocketCalls.Receive(socket, (byte*)room.Address, Math.Min(room.Length, (nuint)limit), SocketCalls.MessageDontWait);
        if (done > 0)
        {
            session.ConfirmIncoming((int)done);
            return true;
        }

        var errno = done == 0 ? 0 : Marshal.GetLastPInvokeError();
        if (errno is Errno.EAGAIN or Errno.EINTR)
        {
            return false;
        }

        throw new TlsLostException(errno == 0
            ? "the peer closed the connection in the TLS handshake; perhaps it expects none"
            : $"the connection was lost in the TLS handshake; perhaps the peer expects none: {Errno.Describe(errno)}");
    }
}

/// <summary>The connection ended in the handshake, and nothing shows why.</summary>
internal sealed class TlsLostException(string message) : AuthenticationException(message);
