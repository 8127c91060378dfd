using System.Buffers.Binary;

namespace DataPlane.Admission;

/// <summary>The first bytes of a TLS session: 16 | version 03 xx | u16 length | handshake type 01, ...</summary>
internal static class HelloOpening
{
    internal const byte Handshake = 0x16;
    internal const byte ClientHello = 1;
    internal const int HeaderSize = 5;
    internal const int MinHello = 4;

    private const int LengthStart = 3;
    private const int MaxHello = 1 << 14; // the limit of every TLS record

    internal static int Length(ReadOnlySpan<byte> opening) => opening.Length < HeaderSize ? HeaderSize
        : HeaderSize + BinaryPrimitives.ReadUInt16BigEndian(opening[LengthStart..]);

    /// <summary>
    /// Whether a ClientHello is whole and alone in its TLS record. A server that gets only a part waits for more, and admission reads no
    /// more than one record.
    /// </summary>
    internal static bool IsWhole(ReadOnlySpan<byte> opening) =>
        (opening[HeaderSize + 1] << 16) + BinaryPrimitives.ReadUInt16BigEndian(opening[(HeaderSize + 2)..])
        == BinaryPrimitives.ReadUInt16BigEndian(opening[LengthStart..]) - MinHello;

    internal static bool IsLengthRight(ReadOnlySpan<byte> opening) =>
        BinaryPrimitives.ReadUInt16BigEndian(opening[LengthStart..]) is >= MinHello and <= MaxHello;
}
