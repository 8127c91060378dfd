namespace DataPlane.Multifd.Compression;

/// <summary>
/// How the pages on multifd channels are compressed. Both sides must use the same; nothing announces it (specification, 3-multifd section
/// 4).
/// </summary>
public enum CompressionMethod
{
    /// <summary>Not at all.</summary>
    None,

    /// <summary>QEMU's <c>multifd-compression=zlib</c>.</summary>
    Zlib,

    /// <summary>QEMU's <c>multifd-compression=zstd</c>.</summary>
    Zstd,
}
