using System.Runtime.InteropServices;
using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>
/// The sending direction of a channel: <see cref="PlainSender"/>, or <see cref="Tls.TlsSender"/> inside TLS. It belongs to one thread at a
/// time; any thread may read the counters. What ends the channel is returned, not thrown.
/// </summary>
internal abstract class ChannelSender(ChannelSocket socket)
{
    /// <summary>Bytes that the kernel has taken; inside TLS, the plain bytes that were encrypted.</summary>
    public long Bytes { get; private protected set; }

    /// <summary>System calls made: each sendmsg, or one per write of the stream.</summary>
    public long Calls { get; private protected set; }

    /// <summary>The socket of <see cref="Channel.SendsWith"/>; null for none.</summary>
    public ChannelSocket? Companion { get; set; }

    private protected ChannelSocket Socket => socket;

    /// <inheritdoc cref="Channel.Send"/>
    public abstract TransferResult Send(Span<IoVec> vectors);

    /// <summary>Sends all of <paramref name="buffer"/> for a stream, without blocking a thread.</summary>
    /// <exception cref="OperationCanceledException">Nobody knows how many of the bytes have left.</exception>
    public abstract ValueTask<TransferResult> SendAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken);

    /// <summary>Makes <see cref="SendLastAsync"/> send close_notify. Without effect outside TLS.</summary>
    public virtual void EndWithCloseNotify()
    {
    }

    /// <summary>Sends what comes last before FIN.</summary>
    public virtual ValueTask SendLastAsync(CancellationToken cancellationToken) => ValueTask.CompletedTask;

    /// <summary>Makes one system call; -1 with an error number is a failure.</summary>
    private protected unsafe nint SendOnce(ReadOnlySpan<IoVec> vectors, out int errno)
    {
        // Without a companion the kernel waits until it has taken everything, so that usually one call is enough.
        var flags = Companion is null ? SocketCalls.MessageNoSignal : SocketCalls.MessageNoSignal | SocketCalls.MessageDontWait;
        try
        {
            // SAFETY: the vectors are fixed for the call; the caller vouches for the memory they name.
            fixed (IoVec* first = vectors)
            {
                MsgHdr message = new() { Vectors = first, VectorCount = (nuint)Math.Min(vectors.Length, IoVec.MaxPerCall) };
                var done = SocketCalls.SendMessage(socket.Handle, &message, flags);
                errno = done < 0 ? Marshal.GetLastPInvokeError() : 0;
                Calls++;
                return done;
            }
        }
        catch (ObjectDisposedException)
        {
            errno = Errno.ECONNABORTED;
            return -1;
        }
    }

    private protected bool TryWaitAfter(int errno) => socket.TryWaitAfter(errno, PollCalls.PollOut, Companion);
}
