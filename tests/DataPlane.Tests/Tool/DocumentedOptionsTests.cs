using System.CommandLine;
using DataPlane.Tool.CommandLine;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>docs/tool.md has every option of every command, and no other.</summary>
public sealed class DocumentedOptionsTests
{
    private static readonly ToolConsole s_console = new() { Out = TextWriter.Null, Error = TextWriter.Null };

    [Fact]
    public void Every_option_is_described_for_its_command_and_none_that_does_not_exist()
    {
        HashSet<(string Command, string Option)> real = [];
        Collect(DataPlaneCommandLine.Build(s_console), "", real);
        string[] commands = [.. real.Select(static one => one.Command).Distinct()];
        HashSet<(string Command, string Option)> described = [];
        foreach (var row in File.ReadLines(Path.Combine(AppContext.BaseDirectory, "docs", "tool.md")))
        {
            var cells = row.Split('|', StringSplitOptions.TrimEntries);
            if (cells.Length < 4 || !cells[1].StartsWith("`--", StringComparison.Ordinal))
            {
                continue;
            }

            foreach (var option in cells[1].Split('`').Where(static word => word.StartsWith("--", StringComparison.Ordinal)))
            {
                foreach (var command in cells[2] == "all" ? commands : cells[2].Split(", "))
                {
                    described.Add((command, option.Split(' ')[0]));
                }
            }
        }

        Assert.Equal(Sorted(real), Sorted(described));
    }

    private static string[] Sorted(IEnumerable<(string Command, string Option)> options) =>
        [.. options.Select(static one => $"{one.Command} {one.Option}").Order(StringComparer.Ordinal)];

    private static void Collect(Command command, string path, HashSet<(string Command, string Option)> options)
    {
        foreach (var option in command.Options.Where(static option => option is IRecordedOption && !option.Hidden))
        {
            options.Add((path, option.Name));
        }

        foreach (var below in command.Subcommands)
        {
            Collect(below, $"{path} {below.Name}".Trim(), options);
        }
    }
}
