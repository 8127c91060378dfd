using System.Diagnostics;
using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>
/// The receiving direction of a channel: <see cref="PlainReceiver"/>, or <see cref="Tls.TlsReceiver"/> inside TLS. It belongs to one thread
/// at a time; any thread may read the counters. What ends the channel is returned, not thrown.
/// </summary>
internal abstract class ChannelReceiver(ChannelSocket socket)
{
    private readonly FirstBytes _first = new();

    /// <summary>Bytes that were received; inside TLS, the plain bytes. Prepended bytes count when they are delivered.</summary>
    public long Bytes { get; private protected set; }

    /// <summary>System calls made: each recvmsg or recv, or one per read of the stream.</summary>
    public long Calls { get; private protected set; }

    private protected ChannelSocket Socket => socket;

    /// <inheritdoc cref="Channel.Prepend"/>
    public void Prepend(ReadOnlySpan<byte> consumed)
    {
        Debug.Assert(Bytes == 0, "prepended after reading began");
        _first.Prepend(consumed);
    }

    /// <inheritdoc cref="Channel.CountConsumed"/>
    public void CountConsumed(int bytes) => Bytes += bytes;

    /// <inheritdoc cref="Channel.Receive"/>
    public TransferResult Receive(Span<IoVec> vectors)
    {
        var taken = 0;
        var rest = IoVec.Advance(vectors, 0);
        if (!_first.IsEmpty)
        {
            rest = _first.Take(rest, out taken);
            Bytes += taken;
        }

        return ReceiveAll(rest, taken);
    }

    /// <inheritdoc cref="Channel.ReceiveSome"/>
    public TransferResult ReceiveSome(IoVec vector, EventFd? wake)
    {
        Span<IoVec> vectors = [vector];
        if (_first.IsEmpty)
        {
            return ReceiveAny(vectors, wake);
        }

        _ = _first.Take(vectors, out var taken);
        Bytes += taken;
        return new TransferResult(taken, ChannelEnd.None, 0);
    }

    /// <summary>
    /// Receives the bytes that are there, for a stream, without blocking a thread. <see cref="ChannelEnd.Closed"/> is the stream's end.
    /// </summary>
    /// <exception cref="OperationCanceledException">Nothing has been lost.</exception>
    public ValueTask<TransferResult> ReceiveAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (_first.IsEmpty)
        {
            return ReceiveAnyAsync(buffer, cancellationToken);
        }

        var taken = _first.Take(buffer.Span);
        Bytes += taken;
        return new ValueTask<TransferResult>(new TransferResult(taken, ChannelEnd.None, 0));
    }

    /// <summary>
    /// Fills all of <paramref name="rest"/> from the socket. <paramref name="total"/> bytes have been delivered before, and count in the
    /// result.
    /// </summary>
    private protected abstract TransferResult ReceiveAll(Span<IoVec> rest, long total);

    /// <summary>
    /// Receives at least one byte from the socket, blocking until then, or until <paramref name="wake"/> is signalled: then there is
    /// neither a byte nor an end.
    /// </summary>
    private protected abstract TransferResult ReceiveAny(Span<IoVec> vectors, EventFd? wake);

    /// <summary>Whether a wait has ended without anything to receive, which only <paramref name="wake"/> can have caused.</summary>
    private protected static bool IsWoken(EventFd? wake, int errno) => wake is not null && errno == Errno.EAGAIN;

    private protected abstract ValueTask<TransferResult> ReceiveAnyAsync(Memory<byte> buffer, CancellationToken cancellationToken);
}
