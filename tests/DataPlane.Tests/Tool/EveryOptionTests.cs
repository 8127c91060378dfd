using System.CommandLine;
using DataPlane.Tool.CommandLine;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>
/// Every option of every command, found in the tree: whatever value stands there, the answer is one line and exit code 2.
/// </summary>
public sealed class EveryOptionTests
{
    private static readonly ToolConsole s_console = new() { Out = TextWriter.Null, Error = TextWriter.Null };

    /// <summary>What no parsed type takes.</summary>
    private static readonly string[] s_hostile =
        ["", " ", "soon", "-1", "1e400", "99999999999999999999999999999999999999999999", "0x10", "[", ":", "unix:", "1\n2", "½", "-", "--"];

    private static readonly string[] s_surplus = ["--no-such-option", "--no-such-option", "--no-such-option"];

    /// <summary>Command and option, one row each; the path of a command is joined by spaces.</summary>
    public static TheoryData<string, string> All()
    {
        var rows = new TheoryData<string, string>();
        Add(DataPlaneCommandLine.Build(s_console), "", rows);
        return rows;
    }

    public static TheoryData<string, string> Times()
    {
        var rows = new TheoryData<string, string>();
        foreach (var row in All().Where(row => Find(row.Data.Item1, row.Data.Item2).HelpName == "TIME"))
        {
            rows.Add(row);
        }

        return rows;
    }

    private static void Add(Command command, string path, TheoryData<string, string> rows)
    {
        foreach (var option in command.Options.Where(static option => option is IRecordedOption))
        {
            rows.Add(path, option.Name);
        }

        foreach (var below in command.Subcommands)
        {
            Add(below, $"{path} {below.Name}".Trim(), rows);
        }
    }

    private static Option Find(string path, string name)
    {
        Command command = DataPlaneCommandLine.Build(s_console);
        foreach (var part in path.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            command = command.Subcommands.Single(below => below.Name == part);
        }

        return command.Options.Single(option => option.Name == name);
    }

    private static async Task<ToolRun> RefusedAsync(string path, params string[] rest)
    {
        var run = await ToolRun.RunAsync([.. path.Split(' '), .. rest], TestContext.Current.CancellationToken);
        Assert.True(run.ExitCode == (int)ExitCode.Usage, $"{path} {string.Join(' ', rest)}: {run.ExitCode}, {run.Error}");
        Assert.Single(run.ErrorLines);
        Assert.Empty(run.Out);
        return run;
    }

    [Theory]
    [MemberData(nameof(All))]
    public async Task Whatever_value_an_option_gets_the_answer_is_one_line(string path, string name)
    {
        // More unknown words than any command has arguments, so that a value which happens to be good does not start the command.
        foreach (var value in s_hostile)
        {
            await RefusedAsync(path, [.. s_surplus, name, value]);
        }

        await RefusedAsync(path, [.. s_surplus, $"{name}=soon", name]);
    }

    [Theory]
    [MemberData(nameof(Times))]
    public void A_time_that_no_timer_takes_is_refused(string path, string name) => Assert.Contains(
        DataPlaneCommandLine.Build(s_console).Parse([.. path.Split(' '), name, "1177h"]).Errors,
        error => error.Message.Contains("'1177h' is too long", StringComparison.Ordinal));

    [Theory]
    [MemberData(nameof(All))]
    public async Task An_option_without_a_value_or_with_one_of_no_type_is_refused(string path, string name)
    {
        if (Find(path, name).ValueType == typeof(bool))
        {
            await RefusedAsync(path, [.. s_surplus, $"{name}=soon"]);
            return;
        }

        await RefusedAsync(path, name);
        await RefusedAsync(path, name, "");
        if (Find(path, name).ValueType is { } type && type != typeof(string) && type != typeof(string[]))
        {
            await RefusedAsync(path, name, "[");
        }
    }

    [Theory]
    [InlineData("send", "f", "127.0.0.1:1", "--timeout", "soon")]
    [InlineData("receive", "--interval", "soon")]
    [InlineData("send", "--machine")]
    [InlineData("inspect", "")]
    [InlineData("bench", "--to", "unix:/x")]
    [InlineData("send", "f", "127.0.0.1:1", "--preempt")]
    [InlineData("guard", "--listen", ":0")]
    public Task What_people_typed_is_refused_in_one_line(string command, params string[] rest) => RefusedAsync(command, rest);

    [Theory]
    [InlineData("'receive'", "recieve")]
    [InlineData("'bench'", "bnech", "--ram", "1G")]
    [InlineData("'--channels'", "bench", "--chanels=4")]
    [InlineData("'status'", "guard", "statsu")]
    [InlineData("bench, guard, inspect", "frobnicate")]
    [InlineData("a command is needed: bench", "--")]
    public async Task An_unknown_word_is_named_with_the_nearest_known(string meant, string first, params string[] rest) =>
        Assert.Contains(meant, (await RefusedAsync(first, rest)).Error, StringComparison.Ordinal);

    [Theory]
    [InlineData("help")]
    [InlineData("help", "bench")]
    [InlineData("version")]
    [InlineData("-V")]
    public async Task What_people_type_first_works(params string[] arguments)
    {
        var run = await ToolRun.RunAsync(arguments, TestContext.Current.CancellationToken);
        Assert.Equal(0, run.ExitCode);
        Assert.NotEmpty(run.Out);
        Assert.Empty(run.Error);
    }

    [Fact]
    public async Task A_downtime_without_a_unit_is_refused_and_both_spellings_are_offered()
    {
        var run = await RefusedAsync("bench", "--max-downtime", "300");
        Assert.Contains("300ms", run.Error, StringComparison.Ordinal);
        Assert.Contains("300s", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Help_that_cannot_be_written_is_one_line_and_exit_code_1()
    {
        var error = new StringWriter();
        var console = new ToolConsole { Out = new FullDisk(), Error = error };
        var exitCode = await ProcessEdge.RunAsync(
            ["--help"], console, () => DataPlaneCommandLine.RunAsync(["--help"], console, TestContext.Current.CancellationToken));
        Assert.Equal((int)ExitCode.Failed, exitCode);
        Assert.Equal("dataplane: No space left on device\n", error.ToString());
    }

    private sealed class FullDisk : StringWriter
    {
        public override void Write(char value) => throw new IOException("No space left on device");

        public override void Write(string? value) => throw new IOException("No space left on device");

        public override void WriteLine(string? value) => throw new IOException("No space left on device");
    }
}
