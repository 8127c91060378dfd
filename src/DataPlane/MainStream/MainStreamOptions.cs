namespace DataPlane.MainStream;

/// <summary>What a reader of a main stream must know, since the stream does not say it, and its limits.</summary>
internal sealed record MainStreamOptions
{
    /// <summary>Multifd is in use: sync marks count, and XBZRLE or compressed pages are errors.</summary>
    public required bool Multifd { get; init; }

    /// <summary>Most RAM blocks a source may announce.</summary>
    public int MaxBlocks { get; init; } = 4096;

    /// <summary>Most bytes of RAM a source may announce, in all blocks.</summary>
    public required long MaxRamBytes { get; init; }

    /// <summary>Takes a switch to postcopy; null where the source must finish by precopy.</summary>
    public IPostcopyEvents? Postcopy { get; init; }

    /// <summary>Most bytes of device state and VM description, or of the package of postcopy.</summary>
    public int MaxDeviceStateBytes { get; init; } = 1 << 30;
}
