using System.Buffers.Binary;
using DataPlane.Wire;

namespace DataPlane.Images;

/// <summary>
/// The header after each block's entry in a mapped-ram file, which tells where the pages of the block are.
/// <code>
///  0  4  version 1
///  4  8  target page size
/// 12  8  offset of the bitmap in the file
/// 20  8  offset of the pages in the file
/// </code>
/// </summary>
internal readonly record struct MappedRamHeader(long BitmapOffset, long PagesOffset)
{
    public const int Size = 28;

    private const uint Version = 1;

    public void Write(Span<byte> destination)
    {
        BinaryPrimitives.WriteUInt32BigEndian(destination, Version);
        BinaryPrimitives.WriteUInt64BigEndian(destination[4..], WireLimits.PageSize);
        BinaryPrimitives.WriteInt64BigEndian(destination[12..], BitmapOffset);
        BinaryPrimitives.WriteInt64BigEndian(destination[20..], PagesOffset);
    }

    public static bool TryRead(ReadOnlySpan<byte> source, out MappedRamHeader header, out string? error)
    {
        header = default;
        error = null;
        if (source.Length < Size)
        {
            error = $"the header of a block has {Size} bytes, not {source.Length}";
            return false;
        }

        var version = BinaryPrimitives.ReadUInt32BigEndian(source);
        var pageSize = BinaryPrimitives.ReadUInt64BigEndian(source[4..]);
        var bitmap = BinaryPrimitives.ReadInt64BigEndian(source[12..]);
        var pages = BinaryPrimitives.ReadInt64BigEndian(source[20..]);
        if (version > Version)
        {
            error = $"mapped-ram version {version} is not supported, only {Version}";
        }
        else if (pageSize != WireLimits.PageSize)
        {
            error = $"pages of {pageSize} bytes are not supported, only {WireLimits.PageSize}";
        }
        else if (bitmap < 0 || pages < 0)
        {
            error = $"a bitmap at {bitmap:X} or pages at {pages:X} lie in no file";
        }
        else if ((pages & WireLimits.PageOffsetMask) != 0)
        {
            error = $"pages at {pages:X} do not begin at a page boundary";
        }
        else
        {
            header = new MappedRamHeader(bitmap, pages);
        }

        return error is null;
    }
}
