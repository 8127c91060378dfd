using System.CommandLine;
using DataPlane.Tool.CommandLine;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class CommandLineTests
{
    private static readonly ToolConsole s_console = new() { Out = TextWriter.Null, Error = TextWriter.Null };

    public static TheoryData<string> Commands() => new(DataPlaneCommandLine.Build(s_console).Subcommands.Select(command => command.Name));

    [Theory]
    [InlineData("--nonsense")]
    [InlineData("nonsense")]
    [InlineData("bench", "--ram", "lots")]
    [InlineData("bench", "--ram", "1GB")]
    [InlineData("bench", "--ram")]
    [InlineData("bench", "--ram", "5000")]
    [InlineData("bench", "--dirty-rate", "10Gbps")]
    [InlineData("bench", "--dirty-window", "2G")]
    [InlineData("bench", "--max-downtime", "fast")]
    [InlineData("bench", "--channels", "256")]
    [InlineData("bench", "--channels", "-1")]
    [InlineData("bench", "--zero-percent", "101")]
    [InlineData("bench", "--runs", "0")]
    [InlineData("bench", "--to", "a:b:c")]
    [InlineData("bench", "--interval", "0")]
    [InlineData("bench", "--json", "-", "--json-stream")]
    [InlineData("bench", "--quiet", "--verbose")]
    [InlineData("bench", "surplus")]
    [InlineData("serve")]
    [InlineData("serve", "--listen", "127.0.0.1")]
    [InlineData("serve", "--listen", "unix:/tmp/x")]
    public async Task A_wrong_command_line_exits_2_with_one_line_on_stderr_and_nothing_on_stdout(params string[] arguments)
    {
        var run = await ToolRun.RunAsync(arguments, TestContext.Current.CancellationToken);
        Assert.Equal((int)ExitCode.Usage, run.ExitCode);
        Assert.Single(run.ErrorLines);
        Assert.StartsWith("dataplane", run.Error, StringComparison.Ordinal);
        Assert.Empty(run.Out);
    }

    [Theory]
    [InlineData("unknown option '--to': there is no such option (a file of that name goes after --)",
        "send", "vm.img", "--to", "127.0.0.1:1")]
    [InlineData("unknown option '--jsn': did you mean '--json'?", "inspect", "--jsn")]
    [InlineData("--check goes with --config", "guard", "--check")]
    [InlineData("--compression: only pages on multifd", "receive", "--listen", ":0", "--out", "vm.img", "--compression", "zstd")]
    public async Task What_is_wrong_with_a_command_line_is_named(string complaint, params string[] arguments)
    {
        var run = await ToolRun.RunAsync(arguments, TestContext.Current.CancellationToken);
        Assert.Equal((int)ExitCode.Usage, run.ExitCode);
        Assert.StartsWith($"dataplane {arguments[0]}: {complaint}", Assert.Single(run.ErrorLines), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("is a folder, not a saved VM", "inspect", "/")]
    [InlineData("cannot listen on unix:/no-such-folder/s: there is no folder '/no-such-folder'",
        "receive", "--listen", "unix:/no-such-folder/s", "--out", "/tmp/never-written.mapped-ram")]
    [InlineData("-no-such-file", "inspect", "--", "-no-such-file")]
    public async Task What_is_not_there_is_named(string complaint, params string[] arguments)
    {
        var run = await ToolRun.RunAsync(arguments, TestContext.Current.CancellationToken);
        Assert.Equal((int)ExitCode.Failed, run.ExitCode);
        Assert.Contains(complaint, Assert.Single(run.ErrorLines), StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Commands))]
    public async Task The_help_of_every_command_ends_with_two_examples(string command)
    {
        var run = await ToolRun.RunAsync([command, "--help"], TestContext.Current.CancellationToken);
        Assert.Equal(0, run.ExitCode);
        var examples = run.Out[run.Out.IndexOf("Examples:", StringComparison.Ordinal)..].Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(5, examples.Length);
        Assert.All(examples[1..].Where((_, i) => i % 2 == 0), line => Assert.StartsWith("  # ", line, StringComparison.Ordinal));
        Assert.All(
            examples[1..].Where((_, i) => i % 2 == 1), line => Assert.StartsWith($"  dataplane {command}", line, StringComparison.Ordinal));
    }

    [Fact]
    public void Every_example_parses_without_error()
    {
        var root = DataPlaneCommandLine.Build(s_console);
        var examples = root.Subcommands.Append<Command>(root).SelectMany(HelpWithExamples.ExamplesOf);
        Assert.All(examples, example => Assert.Empty(root.Parse(example.Line["dataplane ".Length..]).Errors));
    }

    [Fact]
    public void Every_option_is_described_and_spelled_in_kebab_case()
    {
        var options = DataPlaneCommandLine.Build(s_console).Subcommands.SelectMany(command => command.Options);
        Assert.All(options, option =>
        {
            Assert.Matches("^--[a-z]+(-[a-z]+)*$", option.Name);
            Assert.False(string.IsNullOrEmpty(option.Description));
        });
    }

    [Fact]
    public async Task Help_and_version_succeed_without_a_word_on_stderr()
    {
        foreach (var argument in (string[])["--help", "--version"])
        {
            var run = await ToolRun.RunAsync([argument], TestContext.Current.CancellationToken);
            Assert.Equal(0, run.ExitCode);
            Assert.NotEmpty(run.Out);
            Assert.Empty(run.Error);
        }
    }

    [Fact]
    public async Task A_line_break_in_an_argument_does_not_break_the_one_line()
    {
        var run = await ToolRun.RunAsync(["bench", "--ram", "1\n\u001b[31m2"], TestContext.Current.CancellationToken);
        Assert.Equal((int)ExitCode.Usage, run.ExitCode);
        Assert.Single(run.ErrorLines);
        Assert.DoesNotContain('\u001b', run.Error);
    }
}
