using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>
/// What follows a RECV_BITMAP message of the return path, outside of its counted length (specification, 4-postcopy section 4.6.2):
/// <code>
/// u64 size | bitmap: bit i % 8 of byte i / 8 is set if target page i has been received and placed | u64 end mark
/// </code>
/// </summary>
internal static class ReceivedBitmapBody
{
    public const int HeadSize = sizeof(ulong);
    public const int EndSize = sizeof(ulong);

    private const ulong EndMark = 0x0123456789ABCDEF;
    private const int BitsPerWord = 64;

    /// <summary>Bytes of the bitmap of a block of <paramref name="pages"/> pages: whole 64-bit words.</summary>
    public static long SizeOf(long pages) => (pages + BitsPerWord - 1) / BitsPerWord * sizeof(ulong);

    public static void WriteHead(Span<byte> destination, long pages) =>
        BinaryPrimitives.WriteUInt64BigEndian(destination, (ulong)SizeOf(pages));

    public static void WriteEnd(Span<byte> destination) => BinaryPrimitives.WriteUInt64BigEndian(destination, EndMark);

    /// <summary>Reads the size, which must be the one that the block's length demands: any other belongs to another block.</summary>
    public static bool TryReadHead(ReadOnlySpan<byte> source, long pages, out string? error)
    {
        var size = BinaryPrimitives.ReadUInt64BigEndian(source);
        error = size == (ulong)SizeOf(pages) ? null : $"a received bitmap of {size} bytes for {pages} pages, which need {SizeOf(pages)}";
        return error is null;
    }

    public static bool TryReadEnd(ReadOnlySpan<byte> source, out string? error)
    {
        var mark = BinaryPrimitives.ReadUInt64BigEndian(source);
        error = mark == EndMark ? null : $"a received bitmap ends with {mark:X16} instead of {EndMark:X16}";
        return error is null;
    }
}
