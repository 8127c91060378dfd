namespace DataPlane;

/// <summary>
/// The method by which the pages on multifd channels are compressed. Both sides must use the same method, because the stream does not
/// negotiate it (specification, 3-multifd section 4).
/// </summary>
public enum CompressionMethod
{
    /// <summary>Pages are not compressed.</summary>
    None,

    /// <summary>QEMU's <c>multifd-compression=zlib</c>.</summary>
    Zlib,

    /// <summary>QEMU's <c>multifd-compression=zstd</c>.</summary>
    Zstd,
}
