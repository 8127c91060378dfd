using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>Receives from the socket straight into the caller's memory.</summary>
internal sealed class PlainReceiver(ChannelSocket socket) : ChannelReceiver(socket)
{
    private protected override TransferResult ReceiveAll(Span<IoVec> rest, long total)
    {
        while (!rest.IsEmpty)
        {
            var done = ReceiveOnce(rest, SocketCalls.MessageWaitAll, out var errno);
            if (done > 0)
            {
                total += done;
                rest = IoVec.Advance(rest, (nuint)done);
            }
            else if (done == 0)
            {
                return Socket.Closed(total);
            }
            else if (!Socket.TryWaitAfter(errno, PollCalls.PollIn))
            {
                return Socket.Failed(total, errno);
            }
        }

        return new TransferResult(total, ChannelEnd.None, 0);
    }

    private protected override TransferResult ReceiveAny(Span<IoVec> vectors, EventFd? wake)
    {
        for (var waited = false; ; waited = true)
        {
            var done = ReceiveOnce(vectors, wake is null ? 0 : SocketCalls.MessageDontWait, out var errno);
            if (done > 0)
            {
                return new TransferResult(done, ChannelEnd.None, 0);
            }

            if (done == 0)
            {
                return Socket.Closed(0);
            }

            if (waited && IsWoken(wake, errno))
            {
                return default;
            }

            if (!Socket.TryWaitAfter(errno, PollCalls.PollIn, wake: wake))
            {
                return Socket.Failed(0, errno);
            }
        }
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private protected override async ValueTask<TransferResult> ReceiveAnyAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        try
        {
            var bytes = await Socket.ReceiveAsync(buffer, cancellationToken).ConfigureAwait(false);
            Calls++;
            Bytes += bytes;
            return bytes > 0 ? new TransferResult(bytes, ChannelEnd.None, 0) : Socket.Closed(0);
        }
        catch (SocketException e)
        {
            return Socket.Failed(0, e.NativeErrorCode);
        }
        catch (ObjectDisposedException)
        {
            return Socket.Failed(0, Errno.ECONNABORTED);
        }
    }

    private unsafe nint ReceiveOnce(ReadOnlySpan<IoVec> vectors, int flags, out int errno)
    {
        try
        {
            // SAFETY: the vectors are fixed for the call; the caller vouches for the memory they name.
            fixed (IoVec* first = vectors)
            {
                MsgHdr message = new() { Vectors = first, VectorCount = (nuint)Math.Min(vectors.Length, IoVec.MaxPerCall) };
                var done = SocketCalls.ReceiveMessage(Socket.Handle, &message, flags);
                errno = done < 0 ? Marshal.GetLastPInvokeError() : 0;
                Calls++;
                Bytes += Math.Max(done, 0);
                return done;
            }
        }
        catch (ObjectDisposedException)
        {
            errno = Errno.ECONNABORTED;
            return -1;
        }
    }
}
