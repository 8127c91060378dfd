using Microsoft.Extensions.ObjectPool;

namespace DataPlane.Guard.Relay;

/// <summary>
/// Moves bytes that stay in the kernel, as references in a pipe. A pipe is held only while there is something to move. Where an
/// <see cref="IStreamTail"/> must see the end of the stream, the last few bytes of each piece are read.
/// </summary>
internal sealed class SplicedDirection(
    RelayEnd from, RelayEnd to, ObjectPool<RelayPipe> pipes, ReadOnlyMemory<byte> first, IStreamTail? tail = null)
    : RelayDirection(from, to)
{
    private const int CopyBytes = 64 << 10;

    private readonly int _kept = tail?.Length ?? 0;
    private ReadOnlyMemory<byte> _first = first;
    private RelayPipe? _pipe;
    private byte[]? _copy;

    protected override bool HasPending => !_first.IsEmpty || _pipe is { Count: > 0 };

    public override void Release() => Idle();

    protected override nint Take()
    {
        if (_pipe is null && pipes.Get() is { IsOpen: true } pipe)
        {
            _pipe = pipe;
        }

        return _pipe is null ? TakeCopy() : _pipe.Fill(From.Channel.Handle);
    }

    /// <summary>
    /// Reads through user space where there is no pipe. That is slower, and no reason to end a migration. The next piece tries for a pipe
    /// again.
    /// </summary>
    private nint TakeCopy()
    {
        _copy ??= GC.AllocateUninitializedArray<byte>(CopyBytes);
        var read = SocketBytes.Receive(From.Channel.Handle, _copy);
        if (read <= 0)
        {
            return read;
        }

        _first = _copy.AsMemory(0, (int)read);
        tail?.Take(_first.Span[^Math.Min(_kept, _first.Length)..]);
        return read;
    }

    protected override nint Give()
    {
        if (_first.IsEmpty && _pipe!.Count > _kept)
        {
            return _pipe.Drain(To.Channel.Handle, _kept);
        }

        if (_first.IsEmpty)
        {
            _first = _pipe!.Empty();
            tail!.Take(_first.Span);
        }

        var written = SocketBytes.Send(To.Channel.Handle, _first.Span);
        _first = _first[(int)Math.Max(written, 0)..];
        return written;
    }

    protected override void Idle()
    {
        if (_pipe is not null)
        {
            pipes.Return(_pipe);
        }

        (_pipe, _copy) = (null, null);
    }
}

/// <summary>
/// Sees the last bytes of each piece that is relayed, before the receiver can. It runs on the relay's thread and must not wait or throw.
/// </summary>
internal interface IStreamTail
{
    /// <summary>The largest number of bytes that it wants to see of each piece.</summary>
    int Length { get; }

    /// <param name="last">The last bytes of a piece; the whole piece when it is shorter.</param>
    void Take(ReadOnlySpan<byte> last);
}
