using System.Buffers.Binary;

namespace DataPlane.Wire;

/// <summary>
/// Payload of POSTCOPY_ADVISE when postcopy of RAM is possible: <c>u64 page sizes | u64 target page size</c> (specification, 4-postcopy
/// section 4.1.2).
/// </summary>
/// <param name="PageSizes">Host page sizes of all blocks, ORed: 0x201000 for 4 KiB and 2 MiB.</param>
internal readonly record struct PostcopyAdvise(ulong PageSizes)
{
    public const int Size = 16;

    private const ulong AllowedPageSizes = (ulong)WireLimits.MaxBlockPageSize * 2 - WireLimits.PageSize;

    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt64BigEndian(destination, PageSizes);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], WireLimits.PageSize);
    }

    public static bool TryRead(ReadOnlySpan<byte> source, out PostcopyAdvise advise, out string? error)
    {
        advise = default;
        error = null;
        if (source.Length < Size)
        {
            error = $"POSTCOPY_ADVISE has {Size} bytes, not {source.Length}";
            return false;
        }

        var pageSizes = BinaryPrimitives.ReadUInt64BigEndian(source);
        var targetPage = BinaryPrimitives.ReadUInt64BigEndian(source[8..]);
        if (pageSizes == 0 || (pageSizes & ~AllowedPageSizes) != 0)
        {
            error = $"POSTCOPY_ADVISE names page sizes {pageSizes:X}, allowed are 1000 to {WireLimits.MaxBlockPageSize:X}";
        }
        else if (targetPage != WireLimits.PageSize)
        {
            error = $"POSTCOPY_ADVISE names target page size {targetPage}, ours is {WireLimits.PageSize}";
        }
        else
        {
            advise = new PostcopyAdvise(pageSizes);
        }

        return error is null;
    }
}
