using DataPlane.Guard.Qmp;
using DataPlane.Postcopy;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Send;

/// <summary>
/// Compares a saved VM, and how it will be sent, with the QEMU that waits for it. QEMU itself finds most of the differences only when the
/// guest's memory or devices arrive, and reports them in its own log.
/// </summary>
internal static class DestinationDifferences
{
    /// <summary>The name's beginning of blocks that a firmware file system grows and shrinks; QEMU takes another length for them.</summary>
    private const string ResizablePrefix = "/rom@";

    /// <summary>Finds what cannot work, one sentence each; empty where nothing is known to be in the way.</summary>
    public static IReadOnlyList<string> Find(
        WaitingQemu there, string machine, IReadOnlyList<RamBlock> blocks, MigrationSourceOptions options) =>
    [
        .. State(there), .. Machine(there, machine), .. Channels(there, options), .. Postcopy(there, options), .. Tls(there, options),
        .. Memory(there, blocks), .. Pages(there, blocks, options),
    ];

    /// <summary>
    /// The sizes of pages that are larger than usual at the destination, as <see cref="MigrationSourceOptions.HostPageSizes"/>.
    /// </summary>
    public static Dictionary<string, long> PageSizes(WaitingQemu there, IReadOnlyList<RamBlock> blocks) => blocks
        .Select(block => (block.Name, Size: PageSize(there, block)))
        .Where(static one => one.Size > TargetPage.Size)
        .ToDictionary(static one => one.Name, static one => one.Size);

    private static IEnumerable<string> State(WaitingQemu there)
    {
        if (there.State != "inmigrate")
        {
            yield return $"it does not wait for a migration, its state is '{OneLine.Of(there.State)}': start it with -incoming";
        }
    }

    private static IEnumerable<string> Machine(WaitingQemu there, string machine)
    {
        if (there.Machine is { } its && its != machine)
        {
            yield return $"its machine type is '{OneLine.Of(its)}', the saved VM's is '{machine}'";
        }
    }

    private static IEnumerable<string> Channels(WaitingQemu there, MigrationSourceOptions options)
    {
        var multifd = there.Capabilities.Contains("multifd");
        if (!multifd && options.MultifdChannels > 0)
        {
            yield return "its capability multifd is off: switch it on, or leave --channels out";
        }

        if (multifd && options.MultifdChannels != there.Channels)
        {
            yield return options.MultifdChannels == 0
                ? $"its capability multifd is on: say --channels {there.Channels}, or switch it off"
                : $"it waits for {there.Channels} multifd channels (its parameter multifd-channels), "
                    + $"--channels says {options.MultifdChannels}";
        }

        var method = new Choice<CompressionMethod>(options.Compression).ToString();
        if (multifd && options.MultifdChannels > 0 && there.Compression != method)
        {
            yield return $"its parameter multifd-compression is '{OneLine.Of(there.Compression)}', --compression says '{method}'";
        }
    }

    private static IEnumerable<string> Postcopy(WaitingQemu there, MigrationSourceOptions options)
    {
        if (options.Postcopy && !there.Capabilities.Contains("postcopy-ram"))
        {
            yield return "its capability postcopy-ram is off: switch it on, or leave --postcopy out";
        }

        var preempt = there.Capabilities.Contains("postcopy-preempt");
        if (options.Preempt && !preempt)
        {
            yield return "its capability postcopy-preempt is off: switch it on, or leave --preempt out";
        }

        if (preempt && !options.Preempt)
        {
            yield return "its capability postcopy-preempt is on: say --postcopy --preempt, or switch it off";
        }
    }

    private static IEnumerable<string> Tls(WaitingQemu there, MigrationSourceOptions options)
    {
        if (there.Tls && options.Tls is null)
        {
            yield return "its parameter tls-creds is set: say --tls-dir or --tls-psk";
        }

        if (!there.Tls && options.Tls is not null)
        {
            yield return "its parameter tls-creds is not set, and TLS is asked for here";
        }
    }

    private static IEnumerable<string> Memory(WaitingQemu there, IReadOnlyList<RamBlock> blocks)
    {
        if (there.Blocks.Count == 0)
        {
            yield break;
        }

        foreach (var block in blocks)
        {
            if (Row(there, block) is not { } row)
            {
                yield return $"it has no RAM block '{block.Name}' ({Human.Bytes(block.Length)}): a device, or memory, is missing there";
            }
            else if (IsResizable(row) ? block.Length > row.TotalBytes : block.Length != row.UsedBytes)
            {
                yield return Length(block, row);
            }
        }
    }

    private static string Length(RamBlock block, RamBlockRow row)
    {
        var hint = block.Name.EndsWith(".rom", StringComparison.Ordinal)
            ? ": the device has another ROM there (its option romfile, or another version of its firmware)" : "";
        return $"RAM block '{block.Name}' has {Exact(row.UsedBytes)} there and {Exact(block.Length)} in the saved VM{hint}";
    }

    private static IEnumerable<string> Pages(WaitingQemu there, IReadOnlyList<RamBlock> blocks, MigrationSourceOptions options)
    {
        if (!options.Postcopy || there.Blocks.Count == 0)
        {
            yield break;
        }

        foreach (var block in blocks)
        {
            var its = PageSize(there, block);
            var said = options.HostPageSizes.GetValueOrDefault(block.Name, its);
            if (its > 0 && said != its)
            {
                yield return $"RAM block '{block.Name}' lies on pages of {Human.Bytes(its)} there, "
                    + $"--huge-pages says {Human.Bytes(said)}";
            }
        }
    }

    /// <summary>
    /// The size of the pages of a block at the destination; 0 where it is not known. The destination's table may also name a size that no
    /// block, or not this one, can have.
    /// </summary>
    private static long PageSize(WaitingQemu there, RamBlock block) =>
        Row(there, block) is { } row && HostPages.Fit(block, row.PageBytes) ? row.PageBytes : 0;

    private static RamBlockRow? Row(WaitingQemu there, RamBlock block)
    {
        foreach (var row in there.Blocks)
        {
            if (row.Name == block.Name)
            {
                return row;
            }
        }

        return null;
    }

    private static bool IsResizable(RamBlockRow row) =>
        row.Name.StartsWith(ResizablePrefix, StringComparison.Ordinal) || row.UsedBytes < row.TotalBytes;

    private static string Exact(long bytes) => $"{Human.Count(bytes)} bytes";
}
