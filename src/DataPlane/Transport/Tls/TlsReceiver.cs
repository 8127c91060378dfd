using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DataPlane.Linux;

namespace DataPlane.Transport.Tls;

/// <summary>Receives records and decrypts them straight into the caller's memory.</summary>
/// <param name="socket">The socket of the channel.</param>
/// <param name="session">The channel's session, with its handshake done.</param>
internal sealed class TlsReceiver(ChannelSocket socket, TlsSession session) : ChannelReceiver(socket)
{
    private volatile bool _hasReader; // set before the first byte is taken for somebody, and for good

    /// <summary>
    /// Reads the alert in which the peer may have given its reason, after sending has failed on a channel from which nobody reads. Does
    /// nothing where somebody has ever read: that reader finds the alert, and what it has still to read must not be dropped here. The
    /// caller holds the session, and one thread sends.
    /// </summary>
    public void ReadAlert()
    {
        if (_hasReader)
        {
            return;
        }

        // What is decrypted on the way to the alert is dropped, because nobody reads this direction.
        Span<byte> dropped = stackalloc byte[1024];
        while (!Socket.IsAborted && session.Failure is null && ReceiveOnce(SocketCalls.MessageDontWait, out _) > 0)
        {
            while (session.Decrypt(dropped, out _) == TlsResult.Done)
            {
            }
        }
    }

    private protected override TransferResult ReceiveAll(Span<IoVec> rest, long total) =>
        Receive(rest, total, isOneRecordEnough: false, null);

    private protected override TransferResult ReceiveAny(Span<IoVec> vectors, EventFd? wake) =>
        Receive(vectors, 0, isOneRecordEnough: true, wake);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private protected override async ValueTask<TransferResult> ReceiveAnyAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (!session.TryHold())
        {
            return Socket.Failed(0, Errno.ECONNABORTED);
        }

        _hasReader = true;
        try
        {
            while (true)
            {
                var result = session.Decrypt(buffer.Span, out var done);
                Bytes += done;
                if (result == TlsResult.Done)
                {
                    return new TransferResult(done, ChannelEnd.None, 0);
                }

                if (result == TlsResult.Ended)
                {
                    return Socket.Closed(0);
                }

                if (result != TlsResult.NeedsInput)
                {
                    return Socket.Failed(0, Errno.EPROTO);
                }

                var count = await Socket.ReceiveAsync(session.PeekIncomingMemory(), cancellationToken).ConfigureAwait(false);
                Calls++;
                if (count == 0)
                {
                    return session.HoldsPiece ? Socket.Failed(0, Errno.EPROTO) : Socket.Closed(0);
                }

                session.ConfirmIncoming(count);
            }
        }
        catch (SocketException e)
        {
            return Socket.Failed(0, e.NativeErrorCode);
        }
        catch (ObjectDisposedException)
        {
            return Socket.Failed(0, Errno.ECONNABORTED);
        }
        finally
        {
            session.Release();
        }
    }

    /// <summary>
    /// Fills all of <paramref name="rest"/>. With <paramref name="isOneRecordEnough"/>, one record, or as much of it as fits, is enough. A
    /// wait ends when <paramref name="wake"/> is signalled.
    /// </summary>
    private TransferResult Receive(Span<IoVec> rest, long total, bool isOneRecordEnough, EventFd? wake)
    {
        if (!session.TryHold())
        {
            return Socket.Failed(total, Errno.ECONNABORTED);
        }

        _hasReader = true;
        try
        {
            var waited = false;
            while (!rest.IsEmpty)
            {
                var result = session.Decrypt(rest[0].AsSpan(TlsSession.RecordBytes), out var done);
                if (result == TlsResult.Done)
                {
                    total += done;
                    Bytes += done;
                    if (isOneRecordEnough)
                    {
                        break;
                    }

                    rest = IoVec.Advance(rest, (nuint)done);
                }
                else if (result == TlsResult.Ended)
                {
                    return new TransferResult(total, ChannelEnd.Closed, 0);
                }
                else if (result != TlsResult.NeedsInput)
                {
                    return Socket.Failed(total, Errno.EPROTO);
                }
                else
                {
                    var count = ReceiveOnce(wake is null ? 0 : SocketCalls.MessageDontWait, out var errno);
                    // QEMU ends channels without close_notify, so only an unfinished record makes an end an error.
                    if (count == 0)
                    {
                        return Socket.IsAborted ? Socket.Failed(total, Errno.ECONNABORTED)
                            : session.HoldsPiece ? Socket.Failed(total, Errno.EPROTO)
                            : new TransferResult(total, ChannelEnd.Closed, 0);
                    }

                    if (count < 0 && waited && IsWoken(wake, errno))
                    {
                        return default;
                    }

                    waited = count < 0;
                    if (waited && !Socket.TryWaitAfter(errno, PollCalls.PollIn, wake: wake))
                    {
                        return Socket.Failed(total, errno);
                    }
                }
            }

            return new TransferResult(total, ChannelEnd.None, 0);
        }
        finally
        {
            session.Release();
        }
    }

    /// <summary>Makes one system call; -1 with an error number is a failure. The caller holds the session.</summary>
    private unsafe nint ReceiveOnce(int flags, out int errno)
    {
        var room = session.PeekIncoming();
        try
        {
            // SAFETY: at most as many bytes are written as the session has room for, and the caller holds its memory.
            var count = SocketCalls.Receive(Socket.Handle, (byte*)room.Address, room.Length, flags);
            errno = count < 0 ? Marshal.GetLastPInvokeError() : 0;
            Calls++;
            if (count > 0)
            {
                session.ConfirmIncoming((int)count);
            }

            return count;
        }
        catch (ObjectDisposedException)
        {
            errno = Errno.ECONNABORTED;
            return -1;
        }
    }
}
