using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>What follows the head of an XBZRLE record: <c>u8 1 | u16 n</c>, then n bytes of delta for <see cref="Xbzrle"/>.</summary>
internal readonly struct XbzrleHeader
{
    public const int Size = 3;

    private const byte Encoding = 1;

    private XbzrleHeader(int length) => Length = length;

    /// <summary>Bytes of delta that follow, 1 to 4096.</summary>
    public int Length { get; }

    public static void Write(Span<byte> destination, int length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, WireLimits.PageSize);
        destination[0] = Encoding;
        BinaryPrimitives.WriteUInt16BigEndian(destination[1..], (ushort)length);
    }

    public static bool TryRead(ReadOnlySpan<byte> source, out XbzrleHeader header, out string? error)
    {
        header = default;
        error = null;
        if (source.Length < Size)
        {
            error = $"an XBZRLE header has {Size} bytes, not {source.Length}";
            return false;
        }

        int length = BinaryPrimitives.ReadUInt16BigEndian(source[1..]);
        if (source[0] != Encoding)
        {
            error = $"XBZRLE encoding {source[0]} is not supported, only {Encoding}";
        }
        else if (length is 0 or > WireLimits.PageSize)
        {
            error = $"an XBZRLE delta has {length} bytes, allowed are 1 to {WireLimits.PageSize}";
        }
        else
        {
            header = new XbzrleHeader(length);
        }

        return error is null;
    }
}
