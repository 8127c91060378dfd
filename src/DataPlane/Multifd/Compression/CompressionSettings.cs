using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Multifd.Compression;

/// <summary>The compression method of a source and its level.</summary>
/// <param name="Method">The method, which is the same for all channels.</param>
/// <param name="Level">The level, within <see cref="LevelsOf"/> of the method; null for the default of the method.</param>
internal readonly record struct CompressionSettings(CompressionMethod Method, int? Level = null)
{
    /// <summary>The lowest level of zlib. Level 0 stores the pages, which is valid, and as fast as no compression.</summary>
    public const int MinZlibLevel = 0;
    public const int MaxZlibLevel = 9;

    /// <summary>
    /// The default level of zlib. The runtime's zlib-ng trades ratio for speed at level 1. Its level 3 compresses at least as well as the
    /// classic zlib of QEMU does at level 1, which is QEMU's default, and takes less time.
    /// </summary>
    public const int DefaultZlibLevel = 3;

    public const int MinZstdLevel = 1;

    /// <summary>The highest level of zstd. The levels above use windows that are larger than what every receiver must accept.</summary>
    public const int MaxZstdLevel = 20;

    public const int DefaultZstdLevel = 1;

    /// <summary>The lowest and the highest level of a method; null if the method has no levels.</summary>
    public static (int Min, int Max)? LevelsOf(CompressionMethod method) => method switch
    {
        CompressionMethod.Zlib => (MinZlibLevel, MaxZlibLevel),
        CompressionMethod.Zstd => (MinZstdLevel, MaxZstdLevel),
        _ => null,
    };

    /// <summary>
    /// Creates the compressor of one channel; null if pages are not compressed. To be called on the thread of the channel.
    /// </summary>
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

    /// <summary>Creates the decompressor of one channel for packets that carry <paramref name="method"/>.</summary>
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

    /// <summary>The flags that a packet of this method carries.</summary>
    public static MultifdFlags FlagsOf(CompressionMethod method) => method switch
    {
        CompressionMethod.Zlib => MultifdFlags.Zlib,
        CompressionMethod.Zstd => MultifdFlags.Zstd,
        _ => MultifdFlags.None,
    };
}
