using System.Security.Cryptography;
using DataPlane.Memory;

namespace DataPlane.Images;

/// <summary>The SHA-256 of one RAM block over its whole length, holes as zeros.</summary>
/// <param name="Name">The block's name.</param>
/// <param name="Length">Its bytes.</param>
/// <param name="Sha256">Lower-case hex.</param>
public sealed record BlockDigest(string Name, long Length, string Sha256)
{
    private const int ChunkBytes = 1 << 20;

    private static readonly byte[] s_zeros = new byte[ChunkBytes];

    internal static BlockDigest Compute(RamBlock block, PageBitmap holdingData)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long position = 0;
        foreach (var (first, count) in EmptyRuns.Of(holdingData))
        {
            AppendData(hash, block, position, first << TargetPage.Shift);
            AppendZeros(hash, count << TargetPage.Shift);
            position = (first + count) << TargetPage.Shift;
        }

        AppendData(hash, block, position, block.Length);
        return new BlockDigest(block.Name, block.Length, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    private static void AppendData(IncrementalHash hash, RamBlock block, long from, long to)
    {
        for (; from < to; from += ChunkBytes)
        {
            hash.AppendData(block.Span(from, (int)Math.Min(ChunkBytes, to - from)));
        }
    }

    private static void AppendZeros(IncrementalHash hash, long count)
    {
        for (; count > 0; count -= ChunkBytes)
        {
            hash.AppendData(s_zeros.AsSpan(0, (int)Math.Min(ChunkBytes, count)));
        }
    }
}
