using System.CommandLine;
using System.Numerics;
using DataPlane.Images;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using DataPlane.Wire;

namespace DataPlane.Tool.Send;

/// <summary>The options of <c>send</c> about its destination, besides the address: the monitor, and the pages of the memory.</summary>
internal sealed class DestinationOptions
{
    private readonly ToolOption<ChannelAddress?> _qmp = Options.Address("--qmp", "ADDR",
        "monitor of the QEMU that waits (unix:PATH or HOST:PORT): what would not work there is said before anything is sent");

    private readonly ToolOption<string[]> _hugePages = Options.Texts("--huge-pages", "[BLOCK=]SIZE",
        "with --postcopy: the destination's memory lies on pages of this size, as 2M or 1G; without BLOCK the largest RAM block's "
        + "(repeat it for others; --qmp finds out by itself)");

    private DestinationOptions()
    {
    }

    /// <summary>Adds the options; --huge-pages needs <paramref name="postcopy"/>.</summary>
    public static DestinationOptions AddTo(Command command, ToolOption<bool> postcopy)
    {
        var options = new DestinationOptions();
        command.Options.Add(options._qmp);
        command.Options.Add(options._hugePages);
        command.Validators.Add(result => options.Validate(result, postcopy));
        return options;
    }

    /// <summary>Whether the address of the monitor was given.</summary>
    public bool HasMonitor(ParseResult arguments) => arguments.GetValue(_qmp) is not null;

    /// <summary>
    /// Completes the migration's options with what is known of the destination's pages. Where a monitor was given, it is asked first.
    /// </summary>
    /// <exception cref="CommandException">Something would not work; the message names each thing.</exception>
    public async Task<MigrationSourceOptions> ApplyAsync(
        ParseResult arguments, MigrationSourceOptions options, MappedRamSource guest, CommandContext context)
    {
        var blocks = guest.Memory.Blocks;
        Dictionary<string, long> pages = [];
        foreach (var text in arguments.GetValue(_hugePages)!)
        {
            (var name, var size) = Split(text);
            RamBlock block = name.Length == 0 ? blocks.MaxBy(static block => block.Length)!
                : blocks.FirstOrDefault(block => block.Name == name)
                    ?? throw new CommandException($"--huge-pages: the saved VM has no RAM block '{name}'");
            if (block.Length % size != 0)
            {
                throw new CommandException(
                    $"--huge-pages: RAM block '{block.Name}' of {Human.Bytes(block.Length)} cannot lie on pages of {Human.Bytes(size)}");
            }

            pages[block.Name] = size;
        }

        options = options with { HostPageSizes = pages };
        if (arguments.GetValue(_qmp) is not { } monitor)
        {
            return options;
        }

        context.Progress.Report(new ProgressSample { Stage = $"waiting for the monitor {monitor}", IsWaiting = true });
        var there = await WaitingQemu.AskAsync(monitor, context.Time, context.Stop).ConfigureAwait(false);
        var differences = DestinationDifferences.Find(there, guest.MachineName, blocks, options);
        if (differences.Count > 0)
        {
            throw new CommandException($"the QEMU at {monitor} cannot take this VM so: {string.Join("; ", differences)}");
        }

        if (options.Postcopy)
        {
            foreach ((var name, var size) in DestinationDifferences.PageSizes(there, blocks))
            {
                pages[name] = size;
            }
        }

        return options with { DestinationQemuVersion = options.DestinationQemuVersion ?? Known(there.Version) };
    }

    /// <summary>The version as X.Y where the options take it; null for older ones, of which nothing is known.</summary>
    private static Version? Known(Version version) =>
        new Version(version.Major, version.Minor) is var known && known >= QemuCompatibility.Oldest ? known : null;

    private void Validate(System.CommandLine.Parsing.CommandResult result, ToolOption<bool> postcopy)
    {
        var texts = result.GetValue(_hugePages) ?? [];
        if (texts.Length > 0 && !result.GetValue(postcopy))
        {
            result.AddError("--huge-pages: needs --postcopy; otherwise the pages at the destination do not matter");
        }

        foreach (var text in texts)
        {
            if (!TrySplit(text, out _, out _, out var error))
            {
                result.AddError($"--huge-pages: {error}");
            }
        }
    }

    private static (string Name, long Size) Split(string text) =>
        TrySplit(text, out var name, out var size, out var error) ? (name, size) : throw new CommandException(error!);

    /// <summary>Splits [BLOCK=]SIZE. Names of blocks may have '=' in them; a size has none.</summary>
    private static bool TrySplit(string text, out string name, out long size, out string? error)
    {
        var equals = text.LastIndexOf('=');
        name = equals < 0 ? "" : text[..equals];
        size = 0;
        if (!ByteSize.TryParse(text[(equals + 1)..], out var parsed, out error))
        {
            return false;
        }

        size = parsed.Bytes;
        if (BitOperations.IsPow2(size) && size is >= TargetPage.Size and <= WireLimits.MaxBlockPageSize)
        {
            return true;
        }

        error = $"'{text}': pages have a power of two, {Human.Bytes(TargetPage.Size)} to {Human.Bytes(WireLimits.MaxBlockPageSize)}";
        return false;
    }
}
