using System.Runtime.InteropServices;
using DataPlane.Linux;
using DataPlane.Transport.Tls;

namespace DataPlane.Transport;

/// <summary>
/// The same channel inside TLS: both ways of use go through the session, which encrypts straight from and decrypts straight into the memory
/// of the caller. The byte counters count what is inside, so figures compare with a plain channel's.
/// </summary>
internal sealed partial class Channel
{
    private readonly TlsSession? _tls;
    private int _reading;

    /// <summary>What broke the TLS session; <see langword="null"/> when nothing did.</summary>
    internal string? TlsFailure => _tls?.Failure;

    /// <summary>
    /// Has TLS end in order, by close_notify before FIN, when this channel is closed in order. A plain channel has no such end.
    /// </summary>
    internal void EndWithGoodbye()
    {
        if (_tls is not null)
        {
            _tls.SaysGoodbye = true;
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
    /// Fills all of <paramref name="rest"/>; with <paramref name="some"/> the first record, or what fits of it, is enough.
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
                    // QEMU ends channels without close_notify: only a piece of a record makes an end a tear.
                    if (count == 0)
                    {
                        return IsAborted ? Ended(total, Errno.ECONNABORTED)
                            : tls.HoldsPiece ? Ended(total, Errno.EPROTO) : new TransferResult(total, ChannelEnd.Closed, 0);
                    }

                    if (count < 0 && !TryWaitAfter(errno, Libc.PollIn))
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

    /// <summary>Sends all that was encrypted, blocking; returns the error number, 0 when everything left.</summary>
    private unsafe int SendOutgoing(TlsSession tls)
    {
        while (tls.PeekOwed() is { Length: > 0 } piece)
        {
            MsgHdr message = new() { Vectors = &piece, VectorCount = 1 };
            try
            {
                // SAFETY: the caller holds the session's memory.
                var done = Libc.SendMessage(_handle, &message, SendFlags);
                var errno = done < 0 ? Marshal.GetLastPInvokeError() : 0;
                SendCalls++;
                if (done > 0)
                {
                    tls.ConfirmOutgoing((int)done);
                }
                else if (!TryWaitAfter(errno, Libc.PollOut))
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
            var count = Libc.Receive(_handle, (byte*)room.Address, room.Length, flags);
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
    /// Sending failed: the alert with which the peer said why may have come before the end. Only where nobody reads, who would find it.
    /// </summary>
    private unsafe void ReadLastWords(TlsSession tls)
    {
        if (Interlocked.Exchange(ref _reading, 1) != 0)
        {
            return;
        }

        var rest = stackalloc byte[1024];
        // SAFETY: at most that many bytes are written to the local; they are nothing that anyone waits for any more.
        while (!IsAborted && tls.Failure is null && ReceiveIncoming(tls, Libc.MessageDontWait, out _) > 0)
        {
            while (tls.Decrypt((nint)rest, 1024, out _) == TlsResult.Done)
            {
            }
        }
    }

    private TransferResult EndedTls(TlsSession tls, long total, int errno)
    {
        ReadLastWords(tls);
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
