using DataPlane.MainStream.Devices;
using DataPlane.Wire;

namespace DataPlane.Images;

/// <summary>What a mapped-ram file holds, everything checked against its length; only pages and bitmaps are still in the file.</summary>
internal sealed record MappedRamImageInfo
{
    public required ConfigurationSection Configuration { get; init; }

    public required uint RamSectionId { get; init; }

    /// <summary>In the order of the file; their areas do not overlap.</summary>
    public required IReadOnlyList<MappedRamBlock> Blocks { get; init; }

    public required long TotalRamBytes { get; init; }

    public required DeviceState State { get; init; }
}
