using System.Runtime.InteropServices;
using DataPlane.Linux;
using DataPlane.Transport.Tls;

namespace DataPlane.Transport;

/// <summary>
/// A channel inside TLS. Both ways of use go through the session, which encrypts straight from the caller's memory and decrypts straight
/// into it. The byte counters count the plain bytes, so figures compare with those of a plain channel.
/// </summary>
internal sealed partial class Channel
{
    private readonly TlsSession? _tls;
    private int _reading;

    /// <summary>What broke the TLS session; <see langword="null"/> when nothing did, or the channel is plain.</summary>
    internal string? TlsFailure => _tls?.Failure;

    /// <summary>Makes <see cref="CloseAsync"/> send close_notify before FIN. Without effect on a plain channel.</summary>
    internal void EndWithCloseNotify()
    {
        if (_tls is not null)
        {
            _tls.SendsCloseNotify = true;
        }
    }

    private TransferResult SendTls(TlsSession tls, Span<IoVec> vectors)
    {
        if (!TryHold(tls))
        {
            return Ended(0, Errno.ECONNABORTED);
        }

        try
        {
            long total = 0;
            for (var rest = IoVec.Advance(vectors, 0); !rest.IsEmpty;)
            {
                var result = tls.Encrypt(rest[0].Address, (int)Math.Min(rest[0].Length, TlsSession.RecordBytes), out var done);
                if (result == TlsResult.Done)
                {
                    total += done;
                    BytesSent += done;
                    rest = IoVec.Advance(rest, (nuint)done);
                }
                else if (result != TlsResult.NeedsOutput)
                {
                    return Ended(total, Errno.EPROTO);
                }
                else if (SendOutgoing(tls) is var errno and not 0)
                {
                    return EndedTls(tls, total, errno);
                }
            }

            return SendOutgoing(tls) is var last and not 0 ? EndedTls(tls, total, last) : new TransferResult(total, ChannelEnd.None, 0);
        }
        finally
        {
            tls.Release();
        }
    }

    /// <summary>
    /// Fills all of <paramref name="rest"/>. With <paramref name="some"/>, one record, or as much of it as fits, is enough.
    /// </summary>
    private TransferResult ReceiveTls(TlsSession tls, Span<IoVec> rest, long total, bool some = false)
    {
        if (!TryHold(tls))
        {
            return Ended(total, Errno.ECONNABORTED);
        }

        try
        {
            Volatile.Write(ref _reading, 1);
            while (!rest.IsEmpty)
            {
                var result = tls.Decrypt(rest[0].Address, (int)Math.Min(rest[0].Length, TlsSession.RecordBytes), out var done);
                if (result == TlsResult.Done)
                {
                    total += done;
                    BytesReceived += done;
                    if (some)
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
                    return Ended(total, Errno.EPROTO);
                }
                else
                {
                    var count = ReceiveIncoming(tls, 0, out var errno);
                    // QEMU ends channels without close_notify, so only an unfinished record makes an end an error.
                    if (count == 0)
                    {
                        return IsAborted ? Ended(total, Errno.ECONNABORTED)
                            : tls.HoldsPiece ? Ended(total, Errno.EPROTO) : new TransferResult(total, ChannelEnd.Closed, 0);
                    }

                    if (count < 0 && !TryWaitAfter(errno, PollCalls.PollIn))
                    {
                        return Ended(total, errno);
                    }
                }
            }

            return new TransferResult(total, ChannelEnd.None, 0);
        }
        finally
        {
            Volatile.Write(ref _reading, 0);
            tls.Release();
        }
    }

    /// <summary>
    /// Sends all that was encrypted and blocks until it has left. Returns the error number, or 0 when everything has left.
    /// </summary>
    private unsafe int SendOutgoing(TlsSession tls)
    {
        while (tls.PeekOwed() is { Length: > 0 } piece)
        {
            MsgHdr message = new() { Vectors = &piece, VectorCount = 1 };
            try
            {
                // SAFETY: the caller holds the session's memory.
                var done = SocketCalls.SendMessage(_handle, &message, SendFlags);
                var errno = done < 0 ? Marshal.GetLastPInvokeError() : 0;
                SendCalls++;
                if (done > 0)
                {
                    tls.ConfirmOutgoing((int)done);
                }
                else if (!TryWaitAfter(errno, PollCalls.PollOut))
                {
                    return errno;
                }
            }
            catch (ObjectDisposedException)
            {
                return Errno.ECONNABORTED;
            }
        }

        return 0;
    }

    private unsafe nint ReceiveIncoming(TlsSession tls, int flags, out int errno)
    {
        var room = tls.PeekIncoming();
        try
        {
            // SAFETY: at most as many bytes are written as the session has room for, and the caller holds its memory.
            var count = SocketCalls.Receive(_handle, (byte*)room.Address, room.Length, flags);
            errno = count < 0 ? Marshal.GetLastPInvokeError() : 0;
            ReceiveCalls++;
            if (count > 0)
            {
                tls.ConfirmIncoming((int)count);
            }

            return count;
        }
        catch (ObjectDisposedException)
        {
            errno = Errno.ECONNABORTED;
            return -1;
        }
    }

    /// <summary>
    /// Reads the alert in which the peer may have given its reason, after sending has failed. Does nothing while another thread reads,
    /// because that thread finds the alert.
    /// </summary>
    private unsafe void ReadAlert(TlsSession tls)
    {
        if (Interlocked.Exchange(ref _reading, 1) != 0)
        {
            return;
        }

        var rest = stackalloc byte[1024];
        // SAFETY: at most 1024 bytes are written to the local. They are dropped, because nobody waits for them any more.
        while (!IsAborted && tls.Failure is null && ReceiveIncoming(tls, SocketCalls.MessageDontWait, out _) > 0)
        {
            while (tls.Decrypt((nint)rest, 1024, out _) == TlsResult.Done)
            {
            }
        }
    }

    private TransferResult EndedTls(TlsSession tls, long total, int errno)
    {
        ReadAlert(tls);
        return Ended(total, errno);
    }

    private static bool TryHold(TlsSession tls)
    {
        try
        {
            tls.Hold();
            return true;
        }
        catch (ObjectDisposedException)
        {
            return false;
        }
    }
}
