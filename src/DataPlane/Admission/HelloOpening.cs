using System.Buffers.Binary;

namespace DataPlane.Admission;

/// <summary>
/// The first bytes of a TLS client:
/// <code>
/// 16 | version 03 xx | u16 length | handshake type 01 | u24 length | ...
/// </code>
/// A ClientHello must be whole and alone in its record. A server that gets only a part waits for more, and admission reads no more than one
/// record.
/// </summary>
internal static class HelloOpening
{
    public const byte Handshake = 0x16;
    public const int HeaderSize = 5;
    public const int MinSize = 4;

    private const int LengthStart = 3;
    private const int MaxSize = 1 << 14; // the limit of every TLS record
    private const byte ClientHello = 1;

    /// <summary>The number of bytes that make the proof whole, as far as known.</summary>
    public static int Measure(ReadOnlySpan<byte> opening) =>
        opening.Length < HeaderSize ? HeaderSize : HeaderSize + LengthOf(opening);

    public static bool IsLengthRight(ReadOnlySpan<byte> opening) => LengthOf(opening) is >= MinSize and <= MaxSize;

    public static bool IsClientHello(ReadOnlySpan<byte> opening) => opening[HeaderSize] == ClientHello;

    public static bool IsWhole(ReadOnlySpan<byte> opening) =>
        (opening[HeaderSize + 1] << 16) + BinaryPrimitives.ReadUInt16BigEndian(opening[(HeaderSize + 2)..]) == LengthOf(opening) - MinSize;

    private static int LengthOf(ReadOnlySpan<byte> opening) => BinaryPrimitives.ReadUInt16BigEndian(opening[LengthStart..]);
}
