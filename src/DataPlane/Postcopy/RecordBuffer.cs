using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// Reads a channel through one pinned block, for a thread of its own: small records and pages are looked at where they arrived, and pages
/// go from there to their
/// place in one copy by the kernel.
/// </summary>
internal sealed class RecordBuffer : IDisposable
{
    private readonly Channel _channel;
    private readonly PooledBlock _block;
    private ReadOnlyMemory<byte> _first;
    private int _start;
    private int _end;

    /// <param name="channel">The channel, whose other readers have stopped.</param>
    /// <param name="pool">Gives the block.</param>
    /// <param name="first">Bytes of the channel that somebody has read before.</param>
    public RecordBuffer(Channel channel, BlockPool pool, ReadOnlyMemory<byte> first = default)
    {
        _channel = channel;
        _block = pool.RentBlock($"dp-postcopy {channel.Name}");
        _first = first;
    }

    public string Channel => _channel.Name;

    /// <summary>Bytes consumed so far.</summary>
    public long Position { get; private set; }

    /// <summary>What is here. Valid until the next <see cref="TryFill"/>.</summary>
    public ReadOnlySpan<byte> Available => _block.Span[_start.._end];

    /// <summary>Where the first of them is; the block is pinned.</summary>
    public nint Address => _block.Address + _start;

    /// <summary>Waits until <paramref name="count"/> bytes are here. False when the peer has ended the stream before.</summary>
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

    /// <summary>Waits until <paramref name="count"/> bytes are here.</summary>
    /// <exception cref="ChannelException">The connection is lost, or the stream ends before.</exception>
    public void Fill(int count, string what)
    {
        if (!TryFill(count))
        {
            throw new ChannelException(
                FailureReason.PeerClosed, Channel, $"the stream ended inside {what}, {Position + _end - _start} bytes after the switch");
        }
    }

    public void Advance(int count)
    {
        _start += count;
        Position += count;
        if (_start == _end)
        {
            _start = _end = 0;
        }
    }

    public ChannelException Malformed(string message) =>
        ChannelException.Malformed(Channel, $"{message}, {Position} bytes after the switch");

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
