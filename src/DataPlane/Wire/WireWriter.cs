using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>Fills a span with big-endian fields. Too little room is a bug of the caller and throws.</summary>
internal ref struct WireWriter(Span<byte> destination)
{
    private readonly Span<byte> _destination = destination;

    public int Written { get; private set; }

    public void Write(byte value) => _destination[Written++] = value;

    public void Write(uint value)
    {
        BinaryPrimitives.WriteUInt32BigEndian(_destination[Written..], value);
        Written += sizeof(uint);
    }

    public void Write(ulong value)
    {
        BinaryPrimitives.WriteUInt64BigEndian(_destination[Written..], value);
        Written += sizeof(ulong);
    }

    public void WriteBytes(ReadOnlySpan<byte> value)
    {
        value.CopyTo(_destination[Written..]);
        Written += value.Length;
    }

    public void WriteName(ReadOnlySpan<byte> name)
    {
        if (name.Length is 0 or > WireLimits.MaxNameLength)
        {
            throw new ArgumentException($"A name on the wire has 1 to {WireLimits.MaxNameLength} bytes, not {name.Length}.", nameof(name));
        }

        Write((byte)name.Length);
        WriteBytes(name);
    }
}
