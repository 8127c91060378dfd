using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>
/// Reads big-endian fields of a span one after the other. A read that does not fit returns false and moves nothing; the caller then answers
/// NeedMoreData.
/// </summary>
internal ref struct WireReader(ReadOnlySpan<byte> source)
{
    private readonly ReadOnlySpan<byte> _source = source;

    public int Position { get; private set; }

    public readonly int Remaining => _source.Length - Position;

    public readonly bool TryPeek(out byte value)
    {
        if (Remaining < 1)
        {
            value = 0;
            return false;
        }

        value = _source[Position];
        return true;
    }

    public readonly bool TryPeek(out ulong value) => BinaryPrimitives.TryReadUInt64BigEndian(_source[Position..], out value);

    public bool TryRead(out byte value)
    {
        if (!TryPeek(out value))
        {
            return false;
        }

        Position++;
        return true;
    }

    public bool TryRead(out uint value)
    {
        if (!BinaryPrimitives.TryReadUInt32BigEndian(_source[Position..], out value))
        {
            return false;
        }

        Position += sizeof(uint);
        return true;
    }

    public bool TryRead(out ulong value)
    {
        if (!TryPeek(out value))
        {
            return false;
        }

        Position += sizeof(ulong);
        return true;
    }

    public bool TryReadBytes(int count, out ReadOnlySpan<byte> value)
    {
        if ((uint)count > (uint)Remaining)
        {
            value = default;
            return false;
        }

        value = _source.Slice(Position, count);
        Position += count;
        return true;
    }

    /// <summary>
    /// Reads a name: u8 length, then that many bytes. An empty one is returned as such; whether it is legal is the caller's rule.
    /// </summary>
    public bool TryReadName(out ReadOnlySpan<byte> name)
    {
        name = default;
        if (!TryPeek(out byte length) || Remaining - 1 < length)
        {
            return false;
        }

        name = _source.Slice(Position + 1, length);
        Position += 1 + length;
        return true;
    }
}
