using DataPlane.Wire;

namespace DataPlane.Images;

/// <summary>Where one RAM block lies in a mapped-ram file; all offsets count from the beginning of the file.</summary>
/// <param name="Name">Name of the block.</param>
/// <param name="Length">Length in bytes of the block, and of the area that holds its pages.</param>
/// <param name="BitmapOffset">Offset of the bitmap of the pages that are not zero; page i is bit i % 8 of byte i / 8.</param>
/// <param name="PagesOffset">
/// Offset of the pages; page i lies i * 4096 bytes after it. The bytes of a page without a bit in the bitmap mean nothing.
/// </param>
internal readonly record struct MappedRamBlock(string Name, long Length, long BitmapOffset, long PagesOffset)
{
    public long PageCount => Length / WireLimits.PageSize;

    /// <summary>Length of the bitmap in bytes, which is a whole number of 64-bit words.</summary>
    public long BitmapLength => BitmapLengthOf(Length);

    public long PagesEnd => PagesOffset + Length;

    public static long BitmapLengthOf(long length) => (length / WireLimits.PageSize + 63) / 64 * sizeof(ulong);
}
