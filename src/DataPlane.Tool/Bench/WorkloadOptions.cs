using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Bench;

/// <summary>What the guest of a bench looks like and does.</summary>
internal sealed record WorkloadOptions
{
    /// <summary>Size of the guest's one RAM block.</summary>
    public required long RamBytes { get; init; }

    /// <summary>Share of pages that are zero at the start, 0 to 100.</summary>
    public int ZeroPercent { get; init; }

    /// <summary>Bytes of pages written per second; 0 writes nothing.</summary>
    public long DirtyBytesPerSecond { get; init; }

    /// <summary>The writes stay within this much memory from the start of the block; null for all of it.</summary>
    public long? DirtyWindowBytes { get; init; }

    /// <summary>Path of the file whose bytes, repeated, are the guest's memory at the start; null for random bytes.</summary>
    public string? MemoryFile { get; init; }

    public ulong Seed { get; init; } = 1;

    /// <exception cref="CommandException">An option is out of range.</exception>
    public void Validate()
    {
        if (RamBytes < TargetPage.Size || RamBytes % TargetPage.Size != 0)
        {
            throw new CommandException($"--ram: {RamBytes} is not a positive multiple of the page size, {TargetPage.Size}", ExitCode.Usage);
        }

        if (DirtyWindowBytes is { } window && (window < TargetPage.Size || window > RamBytes))
        {
            throw new CommandException($"--dirty-window: {window} is not between one page and --ram", ExitCode.Usage);
        }
    }
}
