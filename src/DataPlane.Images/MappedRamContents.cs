using DataPlane.Wire;

namespace DataPlane.Images;

/// <summary>What a mapped-ram file is made from besides pages and device state. All of it is known before the first page.</summary>
internal sealed record MappedRamContents
{
    public required string MachineName { get; init; }

    public Guid? Uuid { get; init; }

    public int? TargetPageBits { get; init; }

    public ReadOnlyMemory<byte> EarlySections { get; init; }

    /// <summary>Id of the ram section: 1 to 7FFFFFFF, and different from the ids of the early sections.</summary>
    public uint RamSectionId { get; init; } = 1;

    public required IReadOnlyList<RamBlockEntry> Blocks { get; init; }

    /// <summary>Offset of the image in its file, in bytes.</summary>
    public long BaseOffset { get; init; }
}
