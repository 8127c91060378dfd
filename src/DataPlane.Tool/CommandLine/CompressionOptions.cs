using System.CommandLine;
using DataPlane.Multifd.Compression;

namespace DataPlane.Tool.CommandLine;

/// <summary><c>--compression</c> and <c>--level</c> of a command that sends, spelled, explained and checked once.</summary>
internal sealed class CompressionOptions
{
    private readonly ToolOption<Choice<CompressionMethod>?> _method = Options.Choice<CompressionMethod>(
        "--compression", "how pages on multifd channels are compressed; the other side must use the same", CompressionMethod.None);

    private readonly ToolOption<int?> _level = Options.Number(
        "--level",
        $"how hard: zlib 0 to 9 (default {CompressionSettings.DefaultZlibLevel}), "
        + $"zstd 1 to 20 (default {CompressionSettings.DefaultZstdLevel})",
        0,
        CompressionSettings.MaxZstdLevel);

    /// <summary>The option that names the method.</summary>
    public Option Method => _method;

    /// <summary>Makes <c>--compression</c> for a command that receives. Without it the command takes the method from the packets.</summary>
    public static ToolOption<Choice<CompressionMethod>?> Demanded() => Options.Choice<CompressionMethod>(
        "--compression", "accept only pages that are compressed so (default: whatever the source does)");

    public void AddOptionsTo(Command command)
    {
        command.Options.Add(_method);
        command.Options.Add(_level);
    }

    /// <exception cref="CommandException">The level is not one of the method, or there are no multifd channels to compress.</exception>
    public CompressionSettings Read(ParseResult arguments, int channels)
    {
        var method = arguments.GetValue(_method)!.Value.Value;
        var level = arguments.GetValue(_level);
        if (method != CompressionMethod.None && channels == 0)
        {
            throw new CommandException("--compression: only pages on multifd channels are compressed; see --channels", ExitCode.Usage);
        }

        if (level is { } given)
        {
            if (CompressionSettings.LevelsOf(method) is not { } levels)
            {
                throw new CommandException("--level: there is nothing to compress with; see --compression", ExitCode.Usage);
            }

            if (given < levels.Min || given > levels.Max)
            {
                throw new CommandException(
                    $"--level: {given} is not a level of {new Choice<CompressionMethod>(method)}, {levels.Min} to {levels.Max}",
                    ExitCode.Usage);
            }
        }

        return new CompressionSettings(method, level);
    }
}
