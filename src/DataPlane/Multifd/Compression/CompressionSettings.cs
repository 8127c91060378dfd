using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Multifd.Compression;

/// <summary>What a source compresses with, and how hard it tries.</summary>
/// <param name="Method">The method of all channels.</param>
/// <param name="Level">Within the range of the method; null for its default.</param>
internal readonly record struct CompressionSettings(CompressionMethod Method, int? Level = null)
{
    /// <summary>Level 0 stores: legal, and as fast as not compressing.</summary>
    public const int MinZlibLevel = 0;
    public const int MaxZlibLevel = 9;

    /// <summary>
    /// The runtime's zlib-ng trades ratio for speed at level 1; its level 3 compresses at least as well as the classic zlib of QEMU does at
    /// level 1, QEMU's default, and takes less time for it.
    /// </summary>
    public const int DefaultZlibLevel = 3;

    public const int MinZstdLevel = 1;

    /// <summary>Windows of the levels above are larger than every receiver must accept.</summary>
    public const int MaxZstdLevel = 20;

    public const int DefaultZstdLevel = 1;

    public static CompressionSettings None => default;

    /// <summary>The lowest and the highest level of a method; null where it has none.</summary>
    public static (int Min, int Max)? LevelsOf(CompressionMethod method) => method switch
    {
        CompressionMethod.Zlib => (MinZlibLevel, MaxZlibLevel),
        CompressionMethod.Zstd => (MinZstdLevel, MaxZstdLevel),
        _ => null,
    };

    /// <summary>The compressor of one channel, on whose thread this is called; null when there is nothing to do.</summary>
    /// <exception cref="ChannelException">The method is not available on this machine.</exception>
    public PayloadCompressor? CreateCompressor(string channel)
    {
        try
        {
            return Method switch
            {
                CompressionMethod.Zlib => new ZlibCompressor(Level ?? DefaultZlibLevel),
                CompressionMethod.Zstd => new ZstdCompressor(Level ?? DefaultZstdLevel),
                _ => null,
            };
        }
        catch (PlatformNotSupportedException missing)
        {
            throw new ChannelException(FailureReason.NotSupported, channel, missing.Message, missing);
        }
    }

    /// <summary>The decompressor of one channel for packets that carry <paramref name="method"/>.</summary>
    /// <exception cref="ChannelException">The method is not available on this machine.</exception>
    public static PayloadDecompressor CreateDecompressor(MultifdFlags method, string channel)
    {
        try
        {
            return method == MultifdFlags.Zlib ? new ZlibDecompressor() : new ZstdDecompressor();
        }
        catch (PlatformNotSupportedException missing)
        {
            throw new ChannelException(FailureReason.NotSupported, channel, missing.Message, missing);
        }
    }

    /// <summary>The bits that a packet of this method carries.</summary>
    public static MultifdFlags FlagsOf(CompressionMethod method) => method switch
    {
        CompressionMethod.Zlib => MultifdFlags.Zlib,
        CompressionMethod.Zstd => MultifdFlags.Zstd,
        _ => MultifdFlags.None,
    };
}
