using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>The tool as a process: signals and streams as a script sees them.</summary>
public sealed class ProcessTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo("env") { RedirectStandardOutput = true, RedirectStandardError = true };
        // A runner started in the background has SIGINT ignored, which children inherit: the default is put back.
        foreach (var argument in (string[])
            ["--default-signal=INT,QUIT", "dotnet", Path.Combine(AppContext.BaseDirectory, "dataplane.dll"), .. arguments])
        {
            start.ArgumentList.Add(argument);
        }

        return Process.Start(start)!;
    }

    private static async Task<string> ReadUntilAsync(StreamReader reader, string start)
    {
        while (await reader.ReadLineAsync(Token) is { } line)
        {
            if (line.StartsWith(start, StringComparison.Ordinal))
            {
                return line;
            }
        }

        throw new EndOfStreamException($"no line starts with '{start}'");
    }

    [Theory]
    [InlineData("TERM")]
    [InlineData("INT")]
    public async Task A_server_that_is_stopped_ends_with_0_and_a_complete_document(string signal)
    {
        using var serve = Start("serve", "--listen", "127.0.0.1:0", "--json", "-");
        await ReadUntilAsync(serve.StandardError, "listening on 127.0.0.1:");
        await ToolProcesses.SignalAsync(serve, signal);
        using var document = JsonDocument.Parse(await serve.StandardOutput.ReadToEndAsync(Token));
        await serve.WaitForExitAsync(Token);
        Assert.Equal(0, serve.ExitCode);
        Assert.Equal("ok", document.RootElement.GetProperty("result").GetString());
        Assert.Empty(await serve.StandardError.ReadToEndAsync(Token));
    }

    /// <summary>A closed terminal. What the command does afterwards shows that it lives; SIGTERM is heard as before.</summary>
    [Fact]
    public async Task A_source_in_postcopy_and_its_destination_outlive_their_terminal()
    {
        using var vm = new SavedFile("pc-q35-10.0");
        var folder = Path.GetDirectoryName(vm.Path)!;
        using var receive = Start("receive", "--listen", "127.0.0.1:0", "--postcopy", "--out", Path.Combine(folder, "out"), "--json", "-");
        var address = await ReadUntilAsync(receive.StandardError, "listening on ");
        await using var network = FaultProxy.Start(
            ChannelAddress.Parse(address["listening on ".Length..]),
            static _ => new FaultPlan { Forward = new Fault { StallAt = 500_000 } });
        using var send = Start("send", vm.Path, network.Address.ToString(), "--postcopy", "--json", "-");
        var link = await network.LinkAsync(0, Token);
        await link.Stalled.WaitAsync(Token);
        await ToolProcesses.SignalAsync(send, "HUP");
        await ToolProcesses.SignalAsync(receive, "HUP");

        link.Resume();
        foreach (var process in (Process[])[send, receive])
        {
            using var document = JsonDocument.Parse(await process.StandardOutput.ReadToEndAsync(Token));
            await process.WaitForExitAsync(Token);
            Assert.Equal("ok", document.RootElement.GetProperty("result").GetString());
            Assert.Equal(0, process.ExitCode);
        }
    }

    [Fact]
    public async Task A_guard_outlives_its_terminal_and_is_stopped_by_SIGTERM()
    {
        using var guard = Start("guard", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:1", "--json", "-");
        await ReadUntilAsync(guard.StandardError, "listening on ");
        await ToolProcesses.SignalAsync(guard, "HUP");
        await ToolProcesses.SignalAsync(guard, "TERM");
        using var document = JsonDocument.Parse(await guard.StandardOutput.ReadToEndAsync(Token));
        await guard.WaitForExitAsync(Token);
        Assert.Equal(0, guard.ExitCode); // a hang-up that kills is 129 and no document
    }

    [Theory]
    [InlineData("TERM")]
    [InlineData("INT")]
    public async Task A_bench_that_is_stopped_ends_with_130_and_says_interrupted_in_one_line_and_the_document(string signal)
    {
        using var bench = Start("bench", "--wire-only", "--ram", "16M", "--runs", "10000", "--json", "-");
        await ReadUntilAsync(bench.StandardError, "run 2 of");
        await ToolProcesses.SignalAsync(bench, signal);
        using var document = JsonDocument.Parse(await bench.StandardOutput.ReadToEndAsync(Token));
        var rest = await bench.StandardError.ReadToEndAsync(Token);
        await bench.WaitForExitAsync(Token);
        Assert.Equal(130, bench.ExitCode);
        Assert.Equal("interrupted", document.RootElement.GetProperty("result").GetString());
        Assert.True(document.RootElement.GetProperty("runs").GetArrayLength() >= 1);
        Assert.False(document.RootElement.GetProperty("summary").GetProperty("verified").GetBoolean());
        Assert.Equal("dataplane bench: interrupted", rest.TrimEnd().Split('\n')[^1]);
    }

    [Fact]
    public async Task A_bench_that_is_stopped_prints_the_table_of_what_has_finished()
    {
        using var bench = Start("bench", "--wire-only", "--ram", "16M", "--runs", "10000");
        await ReadUntilAsync(bench.StandardError, "run 3 of");
        await ToolProcesses.SignalAsync(bench, "INT");
        var results = bench.StandardOutput.ReadToEndAsync(Token);
        var said = await bench.StandardError.ReadToEndAsync(Token);
        await bench.WaitForExitAsync(Token);
        Assert.Equal(130, bench.ExitCode);
        Assert.EndsWith("dataplane bench: interrupted\n", said, StringComparison.Ordinal);
        Assert.Contains("finished runs (of 10000, interrupted)", await results, StringComparison.Ordinal);
    }

    /// <summary>A closed terminal, for each command that has something to write when it ends before its time.</summary>
    [Theory]
    [InlineData(130, "interrupted", "run 2 of", "bench", "--wire-only", "--ram", "16M", "--runs", "10000")]
    [InlineData(0, "ok", "listening on ", "serve", "--listen", "127.0.0.1:0")]
    [InlineData(130, "interrupted", "listening on ", "receive", "--listen", "127.0.0.1:0", "--out", "FOLDER/out")]
    [InlineData(130, "interrupted", "setup", "send", "FOLDER/vm", "SILENT", "--max-bandwidth", "1K")]
    public async Task A_command_that_is_hung_up_leaves_a_complete_document(
        int exitCode, string result, string until, params string[] command)
    {
        using var vm = new SavedFile("pc-q35-10.0");
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start(); // takes what fits into its buffers and never answers
        var folder = Path.GetDirectoryName(vm.Path)!;
        var document = Path.Combine(folder, "document.json");
        using var process = Start(
            [
                .. command.Select(word => word == "SILENT" ? $"127.0.0.1:{((IPEndPoint)silent.LocalEndpoint).Port}"
                    : word.Replace("FOLDER", folder, StringComparison.Ordinal)),
                "--json", document,
            ]);
        await ReadUntilAsync(process.StandardError, until);
        await ToolProcesses.SignalAsync(process, "HUP");
        var results = process.StandardOutput.ReadToEndAsync(Token);
        var said = await process.StandardError.ReadToEndAsync(Token);
        await process.WaitForExitAsync(Token);
        await results;
        Assert.True(exitCode == process.ExitCode, $"exit code {process.ExitCode}: {said}");
        using var written = JsonDocument.Parse(await File.ReadAllTextAsync(document, Token));
        Assert.Equal(result, written.RootElement.GetProperty("result").GetString());
        Assert.DoesNotContain(Directory.GetFiles(folder), static file => file.EndsWith(".tmp", StringComparison.Ordinal)
            || file.Contains("partial", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("guard", "--listen", "127.0.0.1:0", "--qmp", "unix:/no/such/folder/monitor")]
    [InlineData("send", "FILE", "127.0.0.1:1", "--qmp", "unix:/no/such/folder/monitor")]
    public async Task A_monitor_that_is_not_there_is_named_as_such(params string[] command)
    {
        using var vm = new SavedFile("pc-q35-10.0");
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(Token);
        limit.CancelAfter(TimeSpan.FromSeconds(20)); // a guard waits for its QEMU
        var run = await ToolRun.RunAsync([.. command.Select(word => word == "FILE" ? vm.Path : word)], limit.Token);
        Assert.Contains(
            "cannot connect to the monitor unix:/no/such/folder/monitor: there is no such socket", run.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("assign", run.Error, StringComparison.Ordinal);
    }
}
