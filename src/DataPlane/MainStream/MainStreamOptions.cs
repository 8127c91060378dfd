namespace DataPlane.MainStream;

/// <summary>Settings of a main stream reader that the stream itself does not show, and its limits.</summary>
internal sealed record MainStreamOptions
{
    /// <summary>Whether multifd is in use. If so, sync marks count, and XBZRLE or compressed pages are errors.</summary>
    public required bool Multifd { get; init; }

    /// <summary>Largest number of bytes of RAM that a source may announce, in all blocks together.</summary>
    public required long MaxRamBytes { get; init; }

    /// <summary>Handles a switch to postcopy; null if the source must finish by precopy.</summary>
    public IPostcopyEvents? Postcopy { get; init; }

    /// <summary>
    /// Largest number of bytes of the device state with its VM description, or of the package of postcopy (default 1 GiB).
    /// </summary>
    public int MaxDeviceStateBytes { get; init; } = 1 << 30;
}
