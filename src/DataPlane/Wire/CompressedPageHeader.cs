using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>
/// What follows the head of a COMPRESS_PAGE record: <c>u32 n</c>, then n bytes, one whole zlib stream of one page (specification,
/// 2-main-stream section 2.5).
/// </summary>
internal readonly struct CompressedPageHeader
{
    public const int Size = 4;

    private CompressedPageHeader(int length) => Length = length;

    /// <summary>Bytes of zlib data that follow, 1 to <see cref="WireLimits.MaxCompressedPageBytes"/>.</summary>
    public int Length { get; }

    public static void Write(Span<byte> destination, int length)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(length, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, WireLimits.MaxCompressedPageBytes);
        BinaryPrimitives.WriteUInt32BigEndian(destination, (uint)length);
    }

    public static bool TryRead(ReadOnlySpan<byte> source, out CompressedPageHeader header, out string? error)
    {
        header = default;
        error = null;
        if (!BinaryPrimitives.TryReadUInt32BigEndian(source, out var length))
        {
            error = $"the length of a compressed page has {Size} bytes, not {source.Length}";
        }
        else if (length is 0 or > WireLimits.MaxCompressedPageBytes)
        {
            error = $"a compressed page has {length} bytes, allowed are 1 to {WireLimits.MaxCompressedPageBytes}";
        }
        else
        {
            header = new CompressedPageHeader((int)length);
        }

        return error is null;
    }
}
