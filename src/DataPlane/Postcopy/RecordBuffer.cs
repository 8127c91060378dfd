using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// Reads a channel through one pinned block. Small records and pages are parsed where they were received, and the kernel copies a page from
/// there to its place just once. Used by one thread, which it blocks.
/// </summary>
internal sealed class RecordBuffer : IDisposable
{
    private readonly Channel _channel;
    private readonly PooledBlock _block;
    private ReadOnlyMemory<byte> _first;
    private int _start;
    private int _end;

    /// <param name="channel">The channel, which nobody else reads any more.</param>
    /// <param name="pool">Gives the block.</param>
    /// <param name="first">Bytes of the channel that were read before.</param>
    public RecordBuffer(Channel channel, BlockPool pool, ReadOnlyMemory<byte> first = default)
    {
        _channel = channel;
        _block = pool.RentBlock($"dp-postcopy {channel.Name}");
        _first = first;
    }

    /// <summary>Which channel it is.</summary>
    public ChannelId Channel => _channel.Id;

    /// <summary>The number of bytes consumed so far.</summary>
    public long Position { get; private set; }

    /// <summary>
    /// The bytes that have been received and not consumed. Valid until the next <see cref="TryFill"/> or <see cref="Fill"/>.
    /// </summary>
    public ReadOnlySpan<byte> Available => _block.Span[_start.._end];

    /// <summary>The address of the first byte of <see cref="Available"/>; the block is pinned.</summary>
    public nint Address => _block.Address + _start;

    /// <summary>Waits until <paramref name="count"/> bytes are available. Returns false if the peer ends the stream before.</summary>
    /// <exception cref="ChannelException">The connection is lost.</exception>
    public bool TryFill(int count)
    {
        while (_end - _start < count)
        {
            if (_block.Length - _start < count)
            {
                Available.CopyTo(_block.Span);
                _end -= _start;
                _start = 0;
            }

            if (!TryReceive())
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>
    /// Waits until <paramref name="count"/> bytes are available. <paramref name="what"/> names them in the message of an error.
    /// </summary>
    /// <exception cref="ChannelException">The connection is lost, or the stream ends before.</exception>
    public void Fill(int count, string what)
    {
        if (!TryFill(count))
        {
            throw new ChannelException(
                FailureReason.PeerClosed, Channel, $"the stream ended inside {what}, {Position + _end - _start} bytes after the switch");
        }
    }

    /// <summary>Consumes <paramref name="count"/> available bytes.</summary>
    public void Advance(int count)
    {
        _start += count;
        Position += count;
        if (_start == _end)
        {
            _start = _end = 0;
        }
    }

    /// <summary>Creates the error for malformed bytes at the present position.</summary>
    public ChannelException Malformed(string message) =>
        ChannelException.Malformed(Channel, $"{message}, {Position} bytes after the switch");

    /// <summary>Creates the error for a violation of the protocol at the present position.</summary>
    public ChannelException Violation(string message) =>
        ChannelException.Violation(Channel, $"{message}, {Position} bytes after the switch");

    public void Dispose() => _block.Dispose();

    private bool TryReceive()
    {
        if (!_first.IsEmpty)
        {
            var count = Math.Min(_first.Length, _block.Length - _end);
            _first.Span[..count].CopyTo(_block.Span[_end..]);
            _first = _first[count..];
            _end += count;
            return true;
        }

        var result = _channel.ReceiveSome(new IoVec(_block.Address + _end, (nuint)(_block.Length - _end)));
        _end += (int)result.Bytes;
        return result.End switch
        {
            ChannelEnd.None => true,
            ChannelEnd.Closed => false,
            _ => throw ChannelException.From(result, _channel, "reading pages"),
        };
    }
}
