using System.Security.Cryptography;

namespace DataPlane.Tool.Bench;

/// <summary>
/// A digest in which every byte of a block counts, computed on all cores: SHA-256 over the SHA-256 of each 4 MiB chunk in order. Both sides
/// of a bench compute it; it is not the SHA-256 of the block that <c>receive</c> and <c>send</c> print.
/// </summary>
internal static class MemoryDigest
{
    public const string Name = "sha256-of-4MiB-sha256";

    public static string Compute(RamBlock block)
    {
        var digests = new byte[MemoryChunks.Count(block) * SHA256.HashSizeInBytes];
        MemoryChunks.ForEach(block, chunk =>
            SHA256.HashData(MemoryChunks.Chunk(block, chunk), digests.AsSpan(chunk * SHA256.HashSizeInBytes, SHA256.HashSizeInBytes)));
        return Convert.ToHexStringLower(SHA256.HashData(digests));
    }
}
