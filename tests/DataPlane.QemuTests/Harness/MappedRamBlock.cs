using System.Buffers.Binary;

namespace DataPlane.QemuTests.Harness;

/// <summary>One RAM block of a mapped-ram file.</summary>
internal sealed record MappedRamBlock(string Name, long Length, long BitmapOffset, long PagesOffset, byte[] Bitmap)
{
    public const int PageSize = 4096;

    /// <summary>Pages that the file holds bytes of.</summary>
    public long StoredPages
    {
        get
        {
            long count = 0;
            for (var at = 0; at < Bitmap.Length; at += 8)
            {
                count += long.PopCount(BinaryPrimitives.ReadInt64LittleEndian(Bitmap.AsSpan(at)));
            }

            return count;
        }
    }

    public bool IsStored(long page) => (Bitmap[page / 8] >> (int)(page % 8) & 1) != 0;
}
