using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Authentication;
using DataPlane.Linux;

namespace DataPlane.Transport.Tls;

/// <summary>
/// Moves a handshake's bytes between session and socket, without waiting; and waiting, for a thread that has nothing else to do.
/// </summary>
internal static unsafe class TlsHandshake
{
    // A whole record comes in one turn, and no more work than that is done for one connection: 4 KiB hold 150 demands for new keys.
    private const int PiecesPerTurn = 5;
    private const int PieceBytes = 4096;

    /// <summary>Goes on as far as it can at this moment: done, or which direction of the socket to wait for.</summary>
    /// <exception cref="AuthenticationException">
    /// There will be no session; the message says why (<see cref="TlsLostException"/> where it is gone).
    /// </exception>
    internal static TlsResult Advance(TlsSession session, SafeSocketHandle socket)
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

    /// <summary>Blocks until the handshake is done, the token fires, or the time is over.</summary>
    /// <exception cref="AuthenticationException">
    /// There will be no session; the message says why (<see cref="TlsLostException"/> where it is gone).
    /// </exception>
    /// <exception cref="OperationCanceledException">The token has fired.</exception>
    internal static void Run(TlsSession session, SafeSocketHandle socket, CancellationToken cancellationToken)
    {
        using EventFd wake = new();
        using var registration = cancellationToken.Register(static state => ((EventFd)state!).Signal(), wake);
        for (var result = Advance(session, socket); result != TlsResult.Done; result = Advance(session, socket))
        {
            var events = result == TlsResult.NeedsOutput ? Libc.PollOut : Libc.PollIn;
            _ = Libc.WaitFor(socket, events, wake, Timeout.Infinite);
            cancellationToken.ThrowIfCancellationRequested();
        }
    }

    /// <summary>Reads what is inside, without waiting. <see cref="ReadOutcome.Full"/> as long as more may be here.</summary>
    internal static ReadOutcome TryRead(TlsSession session, SafeSocketHandle socket, byte* data, int length, out int count)
    {
        count = 0;
        session.Hold();
        try
        {
            for (var pieces = 0; ; pieces++)
            {
                switch (session.Decrypt((nint)data, length, out count))
                {
                    case TlsResult.Done:
                        return ReadOutcome.Full;
                    case TlsResult.NeedsInput:
                        // What is left stays in the socket, which is readable then: others have their turn first.
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
            var done = Libc.SendMessage(socket, &message, Libc.MessageNoSignal | Libc.MessageDontWait);
            if (done < 0)
            {
                var errno = Marshal.GetLastPInvokeError();
                // Gone: what it said last may be here still, and says more than the error number.
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
        var done = Libc.Receive(socket, (byte*)room.Address, Math.Min(room.Length, (nuint)limit), Libc.MessageDontWait);
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
