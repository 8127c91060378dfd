using DataPlane.MainStream.Devices;
using DataPlane.Wire;

namespace DataPlane.Images;

/// <summary>
/// What a mapped-ram file holds, except for pages and bitmaps, which are still in the file. Everything has been checked against the length
/// of the file.
/// </summary>
internal sealed record MappedRamImageInfo
{
    public required ConfigurationSection Configuration { get; init; }

    public required uint RamSectionId { get; init; }

    /// <summary>The RAM blocks in the order of the file. Their areas do not overlap.</summary>
    public required IReadOnlyList<MappedRamBlock> Blocks { get; init; }

    public required long TotalRamBytes { get; init; }

    public required DeviceState State { get; init; }
}
