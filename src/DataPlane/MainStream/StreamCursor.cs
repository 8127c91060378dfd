using System.Buffers;
using System.IO.Pipelines;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Reads a stream of small records from a pipe: the caller asks for a number of bytes, looks at them in one piece, and moves on. A call
/// blocks until the bytes are there. The cursor counts the offset for error messages.
/// </summary>
/// <remarks>
/// One thread reads. In production the pipe is a <see cref="BlockingPipeReader"/>, which this thread fills itself; what is read from any
/// other pipe is the same. The stream stays usable after a cancelled read.
/// </remarks>
/// <param name="input">The bytes.</param>
/// <param name="channel">Which channel they come from.</param>
/// <param name="place">How messages name a place in the stream.</param>
internal sealed class StreamCursor(PipeReader input, ChannelId channel, StreamPlace place = StreamPlace.Offset)
{
    /// <summary>
    /// Larger than anything that is looked at in one piece: a page, or a message of the return path, which has at most 516 bytes.
    /// </summary>
    private readonly byte[] _joined = new byte[TargetPage.Size];
    private ReadOnlySequence<byte> _buffer;
    private bool _reading;
    private bool _ended;

    /// <summary>
    /// A parser of this namespace's records: it says whether the bytes are a record, need more after them, or are wrong, and takes nothing.
    /// </summary>
    public delegate OperationStatus Parser<T>(ReadOnlySpan<byte> source, out T record, out int consumed, out string? error)
        where T : allows ref struct;

    public ChannelId Channel { get; } = channel;

    /// <summary>Ends a wait for bytes with an <see cref="OperationCanceledException"/>.</summary>
    public CancellationToken Cancellation { get; set; }

    /// <summary>Number of bytes consumed so far, which is the stream offset of the next record.</summary>
    public long Position { get; private set; }

    /// <summary>Number of bytes that can be read without waiting.</summary>
    public long Buffered => _buffer.Length;

    /// <summary>Waits until <paramref name="count"/> bytes are buffered. Returns false if the stream ends before that.</summary>
    /// <exception cref="ChannelException">The connection was lost.</exception>
    public bool TryFill(long count) => _buffer.Length >= count || TryFillSlowly(count);

    /// <summary>Waits until <paramref name="count"/> bytes are buffered. <paramref name="what"/> names them in messages.</summary>
    /// <exception cref="ChannelException">The stream ends before that, or the connection was lost.</exception>
    public void Fill(long count, string what)
    {
        if (!TryFill(count))
        {
            throw new ChannelException(FailureReason.PeerClosed, Channel, place == StreamPlace.Unnamed
                ? $"the peer closed the connection while reading {what}" : $"the stream ended inside {what}{At(Position + Buffered)}");
        }
    }

    /// <summary>
    /// Waits for a whole record and parses it, without consuming it. The record may point to the bytes, so it is valid as long as they are:
    /// until the next <see cref="TryFill"/>, <see cref="Fill"/> or <see cref="Peek"/>.
    /// </summary>
    /// <param name="parse">Parses the record.</param>
    /// <param name="minSize">The bytes that every such record has.</param>
    /// <param name="maxSize">The bytes that no such record exceeds.</param>
    /// <param name="what">The name of the record for messages.</param>
    /// <param name="size">The number of bytes of the record, for <see cref="Advance"/>.</param>
    /// <exception cref="ChannelException">The record is malformed, or the stream ends before its end.</exception>
    public T Parse<T>(Parser<T> parse, int minSize, int maxSize, string what, out int size)
        where T : allows ref struct
    {
        for (long wanted = minSize; ; wanted = Buffered + 1)
        {
            Fill(wanted, what);
            switch (parse(Peek(maxSize), out var record, out size, out var error))
            {
                case OperationStatus.Done:
                    return record;
                case OperationStatus.InvalidData:
                    throw Malformed(error!);
            }
        }
    }

    /// <summary>Waits for the header of a command, which is left in the stream before its payload.</summary>
    /// <exception cref="ChannelException">The command is unknown, or has the wrong length.</exception>
    public CommandHeader ParseCommand()
    {
        Fill(CommandHeader.Size, "a command");
        return CommandHeader.TryRead(Peek(CommandHeader.Size), out var command, out var error) ? command : throw Malformed(error!);
    }

    /// <summary>
    /// Waits for the payload of the command that <see cref="ParseCommand"/> has found, or for its beginning where it is longer than a name,
    /// and returns it without consuming anything.
    /// </summary>
    /// <exception cref="ChannelException">The stream ends before that.</exception>
    public ReadOnlySpan<byte> PayloadOf(CommandHeader command)
    {
        var size = CommandHeader.Size + Math.Min(command.Length, 1 + WireLimits.MaxNameLength);
        Fill(size, "a command");
        return Peek(size)[CommandHeader.Size..];
    }

    /// <summary>Reads the footer of section <paramref name="id"/>.</summary>
    /// <exception cref="ChannelException">Something else follows.</exception>
    public void ReadFooter(uint id)
    {
        Fill(SectionFooter.Size, "a section footer");
        if (!SectionFooter.TryRead(Peek(SectionFooter.Size), id, out var error))
        {
            throw Malformed(error!);
        }

        Advance(SectionFooter.Size);
    }

    /// <summary>Reads what follows the head of a zero page.</summary>
    /// <exception cref="ChannelException">The page is not filled with zeros, or the stream ends.</exception>
    public void ReadZeroFill()
    {
        Fill(ZeroPageFill.Size, "a zero page");
        if (!ZeroPageFill.TryRead(Peek(ZeroPageFill.Size), out var error))
        {
            throw Malformed(error!);
        }

        Advance(ZeroPageFill.Size);
    }

    /// <summary>Creates the error for malformed bytes at the present position.</summary>
    public ChannelException Malformed(string message) => ChannelException.Malformed(Channel, message + At(Position));

    /// <summary>Creates the error for a violation of the protocol at the present position.</summary>
    public ChannelException Violation(string message) => ChannelException.Violation(Channel, message + At(Position));

    /// <summary>
    /// Returns up to <paramref name="limit"/> buffered bytes in one piece (at most a page). The result is valid until the next call of this
    /// method or one that waits.
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

    /// <summary>Waits for as many bytes as <paramref name="destination"/> has, and moves them there as they come.</summary>
    /// <exception cref="ChannelException">The stream ends before that, or the connection was lost.</exception>
    public void ReadTo(Span<byte> destination, string what)
    {
        while (!destination.IsEmpty)
        {
            Fill(1, what);
            var count = (int)Math.Min(Buffered, destination.Length);
            CopyTo(destination[..count]);
            destination = destination[count..];
        }
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

    /// <summary>
    /// Leaves everything that has not been consumed to the next reader of the pipe, or to whoever closes it. To be called when the reading
    /// ends, in whatever way; the cursor must not be used after that.
    /// </summary>
    public void LeaveRest()
    {
        if (_reading)
        {
            input.AdvanceTo(_buffer.Start);
            (_buffer, _reading) = (default, false);
        }
    }

    /// <summary>Gives up the pipe and what is buffered, after which nobody can read the channel in this way any more.</summary>
    public void Complete() => input.Complete();

    private string At(long position) => place switch
    {
        StreamPlace.Offset => $", at offset {position}",
        StreamPlace.AfterSwitch => $", {position} bytes after the switch",
        _ => "",
    };

    private bool TryFillSlowly(long count)
    {
        while (_buffer.Length < count && !_ended)
        {
            Cancellation.ThrowIfCancellationRequested();
            if (_reading)
            {
                input.AdvanceTo(_buffer.Start, _buffer.End);
                (_buffer, _reading) = (default, false);
            }

            var result = Read();
            _reading = true;
            _buffer = result.Buffer;
            _ended = result.IsCompleted;
        }

        return _buffer.Length >= count;
    }

    private ReadResult Read()
    {
        // A token given to the read would end it without a result, and what is buffered would be hidden until more comes. A read that is
        // cancelled in this way returns it.
        using var cancelled = Cancellation.UnsafeRegister(static pipe => ((PipeReader)pipe!).CancelPendingRead(), input);
        try
        {
            return Blocking.Wait(input.ReadAsync(CancellationToken.None));
        }
        catch (IOException failure) when (failure is not ChannelException)
        {
            throw new ChannelException(FailureReason.PeerReset, Channel, $"the connection was lost at offset {Position}", failure);
        }
    }
}
