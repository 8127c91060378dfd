using System.CommandLine;
using System.Diagnostics;
using System.Text.Json;
using DataPlane.Tool.Bench;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class CommandRunnerTests : IDisposable
{
    private readonly StringWriter _out = new();
    private readonly StringWriter _error = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-json-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string JsonFile => Path.Combine(_folder, "out.json");

    /// <summary>Runs a body as a command would run, with the given options.</summary>
    private async Task<int> RunAsync(
        IReadOnlyList<string> arguments,
        Func<CommandContext, BenchDocument, Task<ExitCode>> body,
        ExitCode whenStopped = ExitCode.Interrupted,
        CancellationToken? stop = null)
    {
        var command = new Command("probe") { Options.Size("--ram", "memory", new ByteSize(4096)) };
        var output = OutputOptions.AddTo(command);
        var parsed = command.Parse(arguments);
        Assert.Empty(parsed.Errors);
        var call = new CommandCall<BenchDocument>
        {
            Name = "dataplane probe",
            Console = new ToolConsole { Out = _out, Error = _error },
            Arguments = parsed,
            Output = output,
            Document = new BenchDocument(),
            Form = ToolJson.Documents.BenchDocument,
            LineForm = ToolJson.Lines.BenchDocument,
            WhenStopped = whenStopped,
        };
        return await CommandRunner.RunAsync(call, body, stop ?? TestContext.Current.CancellationToken);
    }

    private JsonElement ReadFile() => JsonDocument.Parse(File.ReadAllText(JsonFile)).RootElement;

    [Fact]
    public async Task A_finished_command_writes_the_envelope_with_options_and_host()
    {
        var exitCode = await RunAsync(["--json", JsonFile, "--ram", "8K"], (_, _) => Task.FromResult(ExitCode.Done));
        var document = ReadFile();
        Assert.Equal(0, exitCode);
        Assert.Equal("dataplane.bench/1", document.GetProperty("schema").GetString());
        Assert.Equal("ok", document.GetProperty("result").GetString());
        Assert.False(document.TryGetProperty("error", out _));
        Assert.StartsWith("0.1.0", document.GetProperty("dataplane_version").GetString(), StringComparison.Ordinal);
        Assert.Equal(8192, document.GetProperty("options").GetProperty("ram_bytes").GetInt64());
        Assert.Equal(1, document.GetProperty("options").GetProperty("interval_seconds").GetDouble());
        Assert.NotEmpty(document.GetProperty("host").GetProperty("kernel").GetString()!);
        Assert.Equal(Environment.ProcessorCount, document.GetProperty("host").GetProperty("cores").GetInt32());
        Assert.True(document.GetProperty("host").GetProperty("memory_bytes").GetInt64() > 0);
        Assert.True(document.GetProperty("started_at").GetDateTimeOffset() > DateTimeOffset.UnixEpoch);
    }

    public static TheoryData<string, int> Failures() => new()
    {
        { "command", 1 },
        { "cannot tell", 3 },
        { "io", 1 },
        { "defect", 1 },
    };

    [Theory]
    [MemberData(nameof(Failures))]
    public async Task A_failed_command_says_one_line_and_the_document_is_complete_with_what_was_known(string kind, int expected)
    {
        var exitCode = await RunAsync(["--json", JsonFile], (_, document) =>
        {
            document.DirtyTracking = "pagemap";
            throw kind switch
            {
                "command" => new CommandException("main channel, setup: it broke\nhere"),
                "cannot tell" => new CommandException("who knows", ExitCode.CannotTell),
                "io" => new IOException("disk full"),
                _ => new InvalidOperationException("unexpected"),
            };
        });
        var document = ReadFile();
        Assert.Equal(expected, exitCode);
        Assert.Equal("failed", document.GetProperty("result").GetString());
        Assert.Equal("pagemap", document.GetProperty("dirty_tracking").GetString());
        var line = Assert.Single(_error.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal($"dataplane probe: {document.GetProperty("error").GetString()}", line);
    }

    [Fact]
    public async Task A_stopped_command_exits_130_and_says_interrupted_whatever_it_failed_with()
    {
        using var stop = new CancellationTokenSource();
        var exitCode = await RunAsync(
            ["--json", JsonFile],
            async (context, _) =>
            {
                await stop.CancelAsync();
                Assert.True(context.Stop.IsCancellationRequested);
                throw new IOException("a socket that the stop closed");
            },
            stop: stop.Token);
        Assert.Equal(130, exitCode);
        Assert.Equal("interrupted", ReadFile().GetProperty("result").GetString());
        Assert.Equal("dataplane probe: interrupted", _error.ToString().TrimEnd());
    }

    [Fact]
    public async Task A_stopped_server_ends_with_0_and_no_error()
    {
        using var stop = new CancellationTokenSource();
        var exitCode = await RunAsync(
            ["--json", JsonFile],
            async (context, _) =>
            {
                await stop.CancelAsync();
                context.Stop.ThrowIfCancellationRequested();
                return ExitCode.Failed;
            },
            ExitCode.Done,
            stop.Token);
        Assert.Equal(0, exitCode);
        Assert.Equal("ok", ReadFile().GetProperty("result").GetString());
        Assert.Empty(_error.ToString());
    }

    [Fact]
    public async Task With_json_on_stdout_the_tables_for_people_go_nowhere()
    {
        await RunAsync(["--json", "-"], (context, _) =>
        {
            context.Results.WriteLine("a table");
            return Task.FromResult(ExitCode.Done);
        });
        using var document = JsonDocument.Parse(_out.ToString());
        Assert.Equal("ok", document.RootElement.GetProperty("result").GetString());
    }

    [Fact]
    public async Task Without_json_on_stdout_the_tables_are_there_and_no_document()
    {
        await RunAsync([], (context, _) =>
        {
            context.Results.WriteLine("a table");
            return Task.FromResult(ExitCode.Done);
        });
        Assert.Equal("a table", _out.ToString().TrimEnd());
    }

    [Fact]
    public async Task A_path_that_cannot_be_written_fails_before_anything_is_done()
    {
        var started = false;
        var exitCode = await RunAsync(["--json", Path.Combine(_folder, "missing", "out.json")], (_, _) =>
        {
            started = true;
            return Task.FromResult(ExitCode.Done);
        });
        Assert.Equal(1, exitCode);
        Assert.False(started);
        Assert.Single(_error.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task An_older_document_stays_whole_until_the_new_one_replaces_it()
    {
        File.WriteAllText(JsonFile, "old");
        await RunAsync(["--json", JsonFile], (_, _) =>
        {
            Assert.Equal("old", File.ReadAllText(JsonFile));
            return Task.FromResult(ExitCode.Done);
        });
        Assert.Equal("ok", ReadFile().GetProperty("result").GetString());
        Assert.Equal([JsonFile], Directory.GetFiles(_folder));
    }

    [Fact]
    public async Task A_document_written_through_a_link_replaces_the_file_and_not_the_link()
    {
        var target = Path.Combine(_folder, "target.json");
        File.WriteAllText(target, "old");
        File.CreateSymbolicLink(JsonFile, target);
        await RunAsync(["--json", JsonFile], (_, _) => Task.FromResult(ExitCode.Done));
        Assert.NotNull(new FileInfo(JsonFile).LinkTarget);
        Assert.StartsWith("{", File.ReadAllText(target), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_link_that_belongs_to_somebody_else_is_not_followed()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "only root gives files away");
        var target = Path.Combine(_folder, "target.json");
        File.WriteAllText(target, "precious");
        var link = Path.Combine(_folder, "link");
        File.CreateSymbolicLink(link, target);
        var chown = Process.Start("chown", ["-h", "65534", link]);
        await chown.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, chown.ExitCode);
        File.CreateSymbolicLink(JsonFile, link); // also not by way of one's own

        Assert.Equal((int)ExitCode.Failed, await RunAsync(["--json", JsonFile], (_, _) => Task.FromResult(ExitCode.Done)));
        Assert.Contains("is a link that belongs to another user (uid 65534)", _error.ToString(), StringComparison.Ordinal);
        Assert.Equal("precious", File.ReadAllText(target));
    }

    [Fact]
    public async Task A_link_to_a_file_that_is_not_there_yet_is_followed_as_any_other()
    {
        var target = Path.Combine(_folder, "target.json");
        File.CreateSymbolicLink(Path.Combine(_folder, "link"), "target.json");
        File.CreateSymbolicLink(JsonFile, Path.Combine(_folder, "link"));
        Assert.Equal(target, TrustedLinks.Follow(JsonFile));
        await RunAsync(["--json", JsonFile], (_, _) => Task.FromResult(ExitCode.Done));
        Assert.NotNull(new FileInfo(JsonFile).LinkTarget);
        Assert.StartsWith("{", File.ReadAllText(target), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Links_without_an_end_are_refused_and_left_alone()
    {
        var other = Path.Combine(_folder, "other");
        File.CreateSymbolicLink(other, JsonFile);
        File.CreateSymbolicLink(JsonFile, other);
        Assert.Equal((int)ExitCode.Failed, await RunAsync(["--json", JsonFile], (_, _) => Task.FromResult(ExitCode.Done)));
        Assert.Contains("more than 40 links", _error.ToString(), StringComparison.Ordinal);
        Assert.Equal(other, new FileInfo(JsonFile).LinkTarget);
    }

    [Theory]
    [InlineData("/dev/fd/2")]
    [InlineData("/proc/self/fd/2")]
    public void An_open_file_is_no_link(string path) => Assert.Equal(path, TrustedLinks.Follow(path));

    [Fact]
    public async Task A_document_for_an_open_file_comes_after_what_is_there()
    {
        const string Before = "what was there before, and is longer than nothing\n";
        File.WriteAllText(JsonFile, Before);
        using var open = File.OpenHandle(JsonFile, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        var arguments = (string[])["--json", $"/proc/self/fd/{open.DangerousGetHandle()}"];
        Assert.Equal(0, await RunAsync(arguments, (_, _) =>
        {
            File.AppendAllText(JsonFile, "and more\n"); // while the command runs
            return Task.FromResult(ExitCode.Done);
        }));

        var text = File.ReadAllText(JsonFile);
        Assert.StartsWith(Before + "and more\n{", text, StringComparison.Ordinal);
        using var document = JsonDocument.Parse(text[text.IndexOf('{', StringComparison.Ordinal)..]);
        Assert.Equal("ok", document.RootElement.GetProperty("result").GetString());
    }

    /// <summary>What is put under the name after it was followed changes nothing: the name at its end is replaced, as any file's.</summary>
    [Fact]
    public async Task A_link_that_comes_after_the_path_was_followed_is_not()
    {
        var precious = Path.Combine(_folder, "precious");
        File.WriteAllText(precious, "precious");
        await RunAsync(["--json", JsonFile], (_, _) =>
        {
            File.CreateSymbolicLink(JsonFile, precious);
            return Task.FromResult(ExitCode.Done);
        });
        Assert.Equal("precious", File.ReadAllText(precious));
        Assert.Equal("ok", ReadFile().GetProperty("result").GetString());
    }

    [Fact]
    public async Task The_name_of_the_file_that_is_written_first_cannot_be_taken_beforehand()
    {
        var precious = Path.Combine(_folder, "precious");
        File.WriteAllText(precious, "precious");
        File.CreateSymbolicLink($"{JsonFile}.{Environment.ProcessId}.tmp", precious);
        await RunAsync(["--json", JsonFile], (_, _) => Task.FromResult(ExitCode.Done));
        Assert.Equal("precious", File.ReadAllText(precious));
        Assert.Equal("ok", ReadFile().GetProperty("result").GetString());
    }

    [Fact]
    public async Task A_complaint_about_the_file_names_no_other_file()
    {
        var path = Path.Combine(_folder, new string('x', 253)); // with what is put after it, too long
        Assert.Equal((int)ExitCode.Failed, await RunAsync(["--json", path], (_, _) => Task.FromResult(ExitCode.Done)));
        Assert.DoesNotContain(".tmp", _error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_json_stream_is_one_document_per_line_and_the_last_is_the_result()
    {
        await RunAsync(["--json-stream"], (context, _) =>
        {
            context.Progress.Report(new ProgressSample { Stage = "one", DoneBytes = 1, TotalBytes = 2, BytesPerSecond = 3 });
            context.Progress.Report(new ProgressSample { Stage = "two" });
            return Task.FromResult(ExitCode.Done);
        });
        JsonElement[] lines =
            [.. _out.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.Equal(["dataplane.progress/1", "dataplane.progress/1", "dataplane.bench/1"],
            lines.Select(line => line.GetProperty("schema").GetString()!));
        Assert.Equal(1, lines[0].GetProperty("done_bytes").GetInt64());
        Assert.Equal("ok", lines[^1].GetProperty("result").GetString());
    }

    [Fact]
    public async Task Quiet_silences_progress_and_notes_but_neither_warnings_nor_the_listening_line()
    {
        await RunAsync(["--quiet"], (context, _) =>
        {
            context.Progress.Report(new ProgressSample { Stage = "progress" });
            context.Note("note");
            context.Warn("careful");
            context.AnnounceListening("127.0.0.1:1");
            return Task.FromResult(ExitCode.Done);
        });
        Assert.Equal("warning: careful\nlistening on 127.0.0.1:1\n", _error.ToString());
    }

    [Fact]
    public async Task Verbose_shows_how_a_failure_came_about()
    {
        await RunAsync(["--verbose"], (_, _) => throw new CommandException("outer", ExitCode.Failed, new IOException("inner cause")));
        Assert.Contains("inner cause", _error.ToString(), StringComparison.Ordinal);
    }
}
