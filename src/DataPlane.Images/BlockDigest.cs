using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;

namespace DataPlane.Images;

/// <summary>The SHA-256 of one RAM block over its whole length, in which holes count as zeros.</summary>
/// <param name="Name">Name of the block.</param>
/// <param name="Length">Length of the block in bytes.</param>
/// <param name="Sha256">The hash in lower-case hex.</param>
public sealed record BlockDigest(string Name, long Length, string Sha256)
{
    private const int ChunkBytes = 1 << 20;

    private static readonly byte[] s_zeros = new byte[ChunkBytes];

    /// <summary>Computes the digest of a block in mapped memory.</summary>
    internal static BlockDigest Compute(RamBlock block, PageBitmap holdingData) =>
        Compute(block.Name, block.Length, holdingData, (hash, from, to) => AppendMemory(hash, block, from, to));

    /// <summary>
    /// Computes the digest of a block by reading its file. If the file has become shorter, this throws, whereas reading it through a
    /// mapping would end the process.
    /// </summary>
    internal static BlockDigest Compute(SafeFileHandle file, MappedRamBlock place, PageBitmap holdingData)
    {
        var buffer = new byte[ChunkBytes];
        return Compute(place.Name, place.Length, holdingData, (hash, from, to) =>
            AppendFile(hash, file, buffer, place.PagesOffset + from, place.PagesOffset + to));
    }

    private static BlockDigest Compute(string name, long length, PageBitmap holdingData, Action<IncrementalHash, long, long> appendData)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long position = 0;
        foreach (var (first, count) in EmptyRuns.Of(holdingData))
        {
            appendData(hash, position, first << TargetPage.Shift);
            AppendZeros(hash, count << TargetPage.Shift);
            position = (first + count) << TargetPage.Shift;
        }

        appendData(hash, position, length);
        return new BlockDigest(name, length, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    private static void AppendMemory(IncrementalHash hash, RamBlock block, long from, long to)
    {
        for (; from < to; from += ChunkBytes)
        {
            hash.AppendData(block.Span(from, (int)Math.Min(ChunkBytes, to - from)));
        }
    }

    private static void AppendFile(IncrementalHash hash, SafeFileHandle file, byte[] buffer, long from, long to)
    {
        while (from < to)
        {
            var read = RandomAccess.Read(file, buffer.AsSpan(0, (int)Math.Min(ChunkBytes, to - from)), from);
            if (read == 0)
            {
                throw new EndOfStreamException("the file became shorter while it was read");
            }

            hash.AppendData(buffer, 0, read);
            from += read;
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
