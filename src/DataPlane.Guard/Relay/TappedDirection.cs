namespace DataPlane.Guard.Relay;

/// <summary>
/// Moves bytes through user space and shows them to <paramref name="tap"/> before they are handed on. It carries the small traffic that the
/// guard must understand: the return path.
/// </summary>
internal sealed class TappedDirection(RelayEnd from, RelayEnd to, IRelayTap tap) : RelayDirection(from, to)
{
    private readonly byte[] _buffer = GC.AllocateUninitializedArray<byte>(64 * 1024);
    private int _start;
    private int _end;

    protected override bool HasPending => _start < _end;

    public override void Release()
    {
    }

    protected override nint Take()
    {
        var read = SocketBytes.Receive(From.Channel.Handle, _buffer);
        if (read <= 0)
        {
            return read;
        }

        _start = 0;
        _end = (int)read;
        tap.Take(_buffer.AsSpan(0, _end));
        return read;
    }

    protected override nint Give()
    {
        var written = SocketBytes.Send(To.Channel.Handle, _buffer.AsSpan(_start, _end - _start));
        _start += (int)Math.Max(written, 0);
        return written;
    }
}

/// <summary>
/// Sees the bytes of one direction, in order, before the receiver can. It runs on the relay's thread and must not wait or throw.
/// </summary>
internal interface IRelayTap
{
    void Take(ReadOnlySpan<byte> bytes);
}
