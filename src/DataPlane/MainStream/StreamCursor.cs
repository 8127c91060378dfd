using System.Buffers;
using System.IO.Pipelines;
using DataPlane.Transport;

namespace DataPlane.MainStream;

/// <summary>
/// Reads a stream of small records from a pipe: the caller asks for a number of bytes, looks at them in one piece, and moves on. The cursor
/// counts the offset for error messages.
/// </summary>
/// <remarks>
/// Calls complete synchronously while the bytes are buffered. Only one caller may read at a time. The stream stays usable after a cancelled
/// read.
/// </remarks>
internal sealed class StreamCursor(PipeReader input, string channel)
{
    /// <summary>Larger than anything that is looked at in one piece: a message of the return path has at most 516 bytes.</summary>
    private readonly byte[] _joined = new byte[1024];
    private ReadOnlySequence<byte> _buffer;
    private bool _reading;
    private bool _ended;

    public string Channel { get; } = channel;

    /// <summary>Number of bytes consumed so far, which is the stream offset of the next record.</summary>
    public long Position { get; private set; }

    /// <summary>Number of bytes that can be read without waiting.</summary>
    public long Buffered => _buffer.Length;

    /// <summary>Whether the peer has ended the stream. Then nothing follows what is buffered.</summary>
    public bool Ended => _ended;

    /// <summary>Waits until <paramref name="count"/> bytes are buffered. Returns false if the stream ends before that.</summary>
    /// <exception cref="ChannelException">The connection was lost.</exception>
    public ValueTask<bool> FillAsync(long count, CancellationToken cancellationToken) =>
        _buffer.Length >= count ? ValueTask.FromResult(true) : FillSlowAsync(count, cancellationToken);

    /// <summary>Waits until <paramref name="count"/> bytes are buffered.</summary>
    /// <exception cref="ChannelException">The stream ends before that, or the connection was lost.</exception>
    public async ValueTask RequireAsync(long count, string what, CancellationToken cancellationToken)
    {
        if (!await FillAsync(count, cancellationToken).ConfigureAwait(false))
        {
            throw Truncated(what);
        }
    }

    public ChannelException Truncated(string what) =>
        new(FailureReason.PeerClosed, Channel, $"the stream ended inside {what}, at offset {Position + _buffer.Length}");

    public ChannelException Malformed(string message) => ChannelException.Malformed(Channel, $"{message}, at offset {Position}");

    /// <summary>
    /// Returns up to <paramref name="limit"/> buffered bytes in one piece (at most 1024). The result is valid until the next call of any
    /// method.
    /// </summary>
    public ReadOnlySpan<byte> Peek(int limit)
    {
        var first = _buffer.FirstSpan;
        if (first.Length >= limit || _buffer.IsSingleSegment)
        {
            return first[..Math.Min(first.Length, limit)];
        }

        var length = (int)Math.Min(limit, _buffer.Length);
        _buffer.Slice(0, length).CopyTo(_joined);
        return _joined.AsSpan(0, length);
    }

    public byte PeekByte() => _buffer.FirstSpan[0];

    public void Advance(long count)
    {
        _buffer = _buffer.Slice(count);
        Position += count;
    }

    /// <summary>Moves buffered bytes to <paramref name="destination"/>, which must not be longer than <see cref="Buffered"/>.</summary>
    public void CopyTo(Span<byte> destination)
    {
        var first = _buffer.FirstSpan;
        if (first.Length >= destination.Length)
        {
            first[..destination.Length].CopyTo(destination);
        }
        else
        {
            _buffer.Slice(0, destination.Length).CopyTo(destination);
        }

        Advance(destination.Length);
    }

    /// <summary>Moves everything that is buffered to <paramref name="destination"/>, at most <paramref name="limit"/> bytes.</summary>
    public void DrainTo(IBufferWriter<byte> destination, long limit)
    {
        var count = Math.Min(limit, _buffer.Length);
        CopyAllTo(destination, count);
        Advance(count);
    }

    /// <summary>
    /// Copies everything that is buffered to <paramref name="destination"/>, at most <paramref name="limit"/> bytes, without consuming it.
    /// </summary>
    public void CopyAllTo(IBufferWriter<byte> destination, long limit)
    {
        foreach (var segment in _buffer.Slice(0, Math.Min(limit, _buffer.Length)))
        {
            destination.Write(segment.Span);
        }
    }

    private async ValueTask<bool> FillSlowAsync(long count, CancellationToken cancellationToken)
    {
        while (_buffer.Length < count && !_ended)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (_reading)
            {
                input.AdvanceTo(_buffer.Start, _buffer.End);
                (_buffer, _reading) = (default, false);
            }

            ReadResult result;
            // A token given to the read would end it without a result, and what is buffered would be hidden until more comes. A read that
            // is cancelled in this way returns it.
            using (cancellationToken.UnsafeRegister(static pipe => ((PipeReader)pipe!).CancelPendingRead(), input))
            {
                try
                {
                    result = await input.ReadAsync(CancellationToken.None).ConfigureAwait(false);
                }
                catch (IOException failure) when (failure is not ChannelException)
                {
                    throw new ChannelException(FailureReason.PeerReset, Channel, $"the connection was lost at offset {Position}", failure);
                }
            }

            _reading = true;
            _buffer = result.Buffer;
            _ended = result.IsCompleted;
        }

        return _buffer.Length >= count;
    }
}
