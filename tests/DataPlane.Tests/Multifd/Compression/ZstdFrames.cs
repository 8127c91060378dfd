using System.Buffers.Binary;

namespace DataPlane.Tests.Multifd.Compression;

/// <summary>Complete zstd frames made by hand (RFC 8878): blocks of one repeated byte.</summary>
internal static class ZstdFrames
{
    private const int MaxBlock = 128 * 1024;

    /// <summary>A frame of so many pages of zeros, four bytes per 128 KiB.</summary>
    public static byte[] Zeros(int pages, int windowLog = 19)
    {
        // Magic, descriptor (no sizes, no checksum), window descriptor with the exponent from 10 on.
        List<byte> frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (byte)((windowLog - 10) << 3)];
        Span<byte> block = stackalloc byte[4];
        for (var left = (long)pages * TargetPage.Size; left > 0;)
        {
            var size = (int)Math.Min(left, MaxBlock);
            left -= size;
            BinaryPrimitives.WriteInt32LittleEndian(block, (size << 3) | (1 << 1) | (left == 0 ? 1 : 0));
            block[3] = 0; // the byte that is repeated
            frame.AddRange(block);
        }

        return [.. frame];
    }
}
