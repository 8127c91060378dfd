using System.Diagnostics;
using System.Runtime.InteropServices;
using DataPlane.Linux;

namespace DataPlane.Transport;

internal sealed partial class Channel
{
    private byte[] _prepended = [];

    /// <summary>
    /// A channel without which sending on this one has no purpose. A <see cref="Send"/> that has to wait watches it too, and aborts this
    /// channel when the other has ended. With null, the default, a send waits for its own peer only.
    /// </summary>
    internal Channel? SendsWith { get; set; }

    private int SendFlags => SendsWith is null ? SocketCalls.MessageNoSignal : SocketCalls.MessageNoSignal | SocketCalls.MessageDontWait;

    private int _prependedTaken;

    /// <summary>
    /// Takes bytes that were read from the socket before it became this channel; they are delivered first, whichever way the channel is
    /// read. To be called before the first read.
    /// </summary>
    internal void Prepend(ReadOnlySpan<byte> consumed)
    {
        Debug.Assert(_prependedTaken == 0 && BytesReceived == 0, "prepended after reading began");
        _prepended = [.. consumed, .. _prepended];
    }

    /// <summary>
    /// Adds bytes to <see cref="BytesReceived"/> that were read from the socket before it became this channel, and are not delivered again.
    /// </summary>
    internal void CountConsumed(int bytes) => BytesReceived += bytes;

    /// <summary>
    /// Sends all of <paramref name="vectors"/> straight from the memory that they point to, and blocks the calling thread until then.
    /// Usually this is one system call. The vectors are changed in place.
    /// </summary>
    internal TransferResult Send(Span<IoVec> vectors)
    {
        if (_tls is { } tls)
        {
            return SendTls(tls, vectors);
        }

        long total = 0;
        for (var rest = IoVec.Advance(vectors, 0); !rest.IsEmpty;)
        {
            var done = SendOnce(rest, out var errno);
            if (done >= 0)
            {
                total += done;
                rest = IoVec.Advance(rest, (nuint)done);
            }
            else if (!TryWaitAfter(errno, PollCalls.PollOut))
            {
                return Ended(total, errno);
            }
        }

        return new TransferResult(total, ChannelEnd.None, 0);
    }

    /// <summary>
    /// Fills all of <paramref name="vectors"/>, straight into the memory that they point to, and blocks the calling thread until then.
    /// Usually this is one system call, however slowly the bytes come. <see cref="ChannelEnd.Closed"/> without a byte is an end at a
    /// boundary; with some bytes it is a torn record. The vectors are changed in place.
    /// </summary>
    internal TransferResult Receive(Span<IoVec> vectors)
    {
        long total = 0;
        var rest = IoVec.Advance(vectors, 0);
        if (_prependedTaken < _prepended.Length)
        {
            rest = TakePrepended(rest, out total);
        }

        if (_tls is { } tls)
        {
            return ReceiveTls(tls, rest, total);
        }

        while (!rest.IsEmpty)
        {
            var done = ReceiveOnce(rest, out var errno);
            if (done > 0)
            {
                total += done;
                rest = IoVec.Advance(rest, (nuint)done);
            }
            else if (done == 0)
            {
                return new TransferResult(total, IsAborted ? ChannelEnd.Aborted : ChannelEnd.Closed, 0);
            }
            else if (!TryWaitAfter(errno, PollCalls.PollIn))
            {
                return Ended(total, errno);
            }
        }

        return new TransferResult(total, ChannelEnd.None, 0);
    }

    /// <summary>
    /// Receives the bytes that are there, inside TLS at most one record, and blocks the calling thread until there is at least one.
    /// <see cref="ChannelEnd.Closed"/> without a byte is the end of the stream.
    /// </summary>
    internal TransferResult ReceiveSome(IoVec vector)
    {
        Span<IoVec> vectors = [vector];
        if (_prependedTaken < _prepended.Length)
        {
            TakePrepended(vectors, out var taken);
            return new TransferResult(taken, ChannelEnd.None, 0);
        }

        if (_tls is { } tls)
        {
            return ReceiveTls(tls, vectors, 0, some: true);
        }

        while (true)
        {
            var done = ReceiveOnce(vectors, out var errno, flags: 0);
            if (done > 0)
            {
                return new TransferResult(done, ChannelEnd.None, 0);
            }

            if (done == 0)
            {
                return new TransferResult(0, IsAborted ? ChannelEnd.Aborted : ChannelEnd.Closed, 0);
            }

            if (!TryWaitAfter(errno, PollCalls.PollIn))
            {
                return Ended(0, errno);
            }
        }
    }

    private unsafe nint SendOnce(ReadOnlySpan<IoVec> vectors, out int errno)
    {
        try
        {
            // SAFETY: the vectors are fixed for the call; the caller vouches for the memory they name.
            fixed (IoVec* first = vectors)
            {
                MsgHdr message = new() { Vectors = first, VectorCount = (nuint)Math.Min(vectors.Length, IoVec.MaxPerCall) };
                var done = SocketCalls.SendMessage(_handle, &message, SendFlags);
                errno = done < 0 ? Marshal.GetLastPInvokeError() : 0;
                SendCalls++;
                BytesSent += Math.Max(done, 0);
                return done;
            }
        }
        catch (ObjectDisposedException)
        {
            errno = Errno.ECONNABORTED;
            return -1;
        }
    }

    private unsafe nint ReceiveOnce(ReadOnlySpan<IoVec> vectors, out int errno, int flags = SocketCalls.MessageWaitAll)
    {
        try
        {
            // SAFETY: the vectors are fixed for the call; the caller vouches for the memory they name.
            fixed (IoVec* first = vectors)
            {
                MsgHdr message = new() { Vectors = first, VectorCount = (nuint)Math.Min(vectors.Length, IoVec.MaxPerCall) };
                var done = SocketCalls.ReceiveMessage(_handle, &message, flags);
                errno = done < 0 ? Marshal.GetLastPInvokeError() : 0;
                ReceiveCalls++;
                BytesReceived += Math.Max(done, 0);
                return done;
            }
        }
        catch (ObjectDisposedException)
        {
            errno = Errno.ECONNABORTED;
            return -1;
        }
    }

    /// <summary>
    /// Whether a failed call may be repeated: at once when a signal interrupted it, and otherwise when the socket is ready. A call does not
    /// block where stream use has made the socket non-blocking, or where <see cref="SendsWith"/> is set.
    /// </summary>
    private bool TryWaitAfter(int errno, short events)
    {
        if (IsAborted || errno is not (Errno.EINTR or Errno.EAGAIN))
        {
            return false;
        }

        if (errno == Errno.EINTR)
        {
            return true;
        }

        try
        {
            if (events != PollCalls.PollOut || SendsWith is not { } companion)
            {
                _ = PollCalls.WaitFor(_handle, events, null, Timeout.Infinite);
            }
            else if (!PollCalls.WaitToSend(_handle, companion._handle))
            {
                AbortWith(companion);
            }

            return true;
        }
        catch (ObjectDisposedException)
        {
            return false;
        }
    }

    private void AbortWith(Channel companion) => Abort(new ChannelException(
        FailureReason.PeerClosed, companion.Name, $"{companion.Name} was lost while bytes waited to be sent on {Name}"));

    private TransferResult Ended(long total, int errno) =>
        new(total, IsAborted ? ChannelEnd.Aborted : SocketErrors.Classify(errno), errno);

    private unsafe Span<IoVec> TakePrepended(Span<IoVec> rest, out long taken)
    {
        taken = 0;
        while (!rest.IsEmpty && _prependedTaken < _prepended.Length)
        {
            var bytes = (int)Math.Min((nuint)(_prepended.Length - _prependedTaken), rest[0].Length);
            // SAFETY: bytes is at most the vector's length, and the caller vouches for its memory.
            TakePrepended(new Span<byte>((void*)rest[0].Address, bytes));
            rest = IoVec.Advance(rest, (nuint)bytes);
            taken += bytes;
        }

        return rest;
    }

    private int TakePrepended(Span<byte> target)
    {
        var bytes = Math.Min(_prepended.Length - _prependedTaken, target.Length);
        _prepended.AsSpan(_prependedTaken, bytes).CopyTo(target);
        _prependedTaken += bytes;
        BytesReceived += bytes;
        return bytes;
    }
}
