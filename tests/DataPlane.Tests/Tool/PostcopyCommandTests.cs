using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using DataPlane.TestSupport;
using DataPlane.Tool.CommandLine;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary><c>dataplane postcopy</c>: a migration loses its link, or is made to, and goes on when it is told.</summary>
public sealed class PostcopyCommandTests
{
    /// <summary>Of a megabyte that has to follow the guest.</summary>
    private const long Middle = 600_000;

    private static readonly Fault s_cut = new() { CutAt = Middle };
    private static readonly Fault s_stall = new() { StallAt = Middle };
    private static readonly string[] s_short = ["--recovery-timeout", "200ms"];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_lost_link_is_a_pause_of_both_commands_and_resume_goes_on()
    {
        await using var pair = await PostcopyPair.StartAsync(s_cut, Token);
        await pair.BothPausedAsync();
        var status = await PostcopyPair.StatusAsync(pair.SendControl);
        Assert.Equal("send", status.GetProperty("command").GetString());
        Assert.Equal(1, status.GetProperty("pauses").GetInt32());
        Assert.NotEmpty(status.GetProperty("pause_reason").GetString()!);
        Assert.False(status.TryGetProperty("remaining_pages", out _));

        var nobody = await PostcopyPair.PostcopyAsync("resume", "127.0.0.1:1", "--control", pair.SendControl);
        Assert.Equal(1, nobody.ExitCode);
        Assert.Contains("still paused", Assert.Single(nobody.ErrorLines), StringComparison.Ordinal);
        var resumed = await PostcopyPair.PostcopyAsync("resume", pair.Address.ToString(), "--control", pair.SendControl);
        Assert.True(resumed.ExitCode == 0, resumed.Error);

        var (sent, received) = await pair.ArrivesAsync();
        Assert.Equal(1, sent.GetProperty("postcopy").GetProperty("recoveries").GetInt32());
        Assert.Equal(1, received.GetProperty("postcopy").GetProperty("recoveries").GetInt32());
        Assert.Equal(pair.SendControl, sent.GetProperty("control").GetString());
        var words = (await pair.Sending).ErrorLines;
        Assert.Contains(words, line => line.Contains($"resume --control {pair.SendControl}", StringComparison.Ordinal));
        Assert.Contains(words, static line => line.Contains("the new link failed, still paused", StringComparison.Ordinal));
        Assert.False(File.Exists(pair.SendControl));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_link_that_has_gone_silent_is_given_up_by_either_side(bool bySource)
    {
        await using var pair = await PostcopyPair.StartAsync(s_stall, Token);
        string[] order = bySource ? [pair.SendControl, pair.ReceiveControl] : [pair.ReceiveControl, pair.SendControl];

        var paused = await PostcopyPair.PauseAsync(order[0]);

        Assert.Equal("paused", JsonElement.Parse(paused.Out).GetProperty("migrations")[0].GetProperty("state").GetString());
        var again = await PostcopyPair.PostcopyAsync("pause", "--control", order[0]);
        Assert.Contains("already", Assert.Single(again.ErrorLines), StringComparison.Ordinal);
        if (await PostcopyPair.StateAsync(order[1]) != "paused")
        {
            await PostcopyPair.PauseAsync(order[1]);
        }

        var wrong = await PostcopyPair.PostcopyAsync("resume", "--control", pair.ReceiveControl);
        Assert.Contains("the source resumes", Assert.Single(wrong.ErrorLines), StringComparison.Ordinal);
        // To where it was: through the link, whose other connections are sound.
        var resumed = await PostcopyPair.PostcopyAsync("resume", "--control", pair.SendControl);
        Assert.True(resumed.ExitCode == 0, resumed.Error);
        await pair.ArrivesAsync();
    }

    [Fact]
    public async Task A_pause_that_lasts_too_long_ends_both_commands()
    {
        await using var pair = await PostcopyPair.StartAsync(s_stall, Token, s_short, s_short);
        foreach (var control in (string[])[pair.SendControl, pair.ReceiveControl])
        {
            await PostcopyPair.PauseAsync(control);
        }

        var sent = await pair.Sending.WaitAsync(TimeSpan.FromMinutes(1), Token);
        Assert.Equal(1, sent.ExitCode);
        Assert.Contains("nobody resumed", sent.ErrorLines[^1], StringComparison.Ordinal);
        Assert.Equal("at_destination", JsonElement.Parse(sent.Out).GetProperty("guest").GetString());
        var received = await pair.Receiving.WaitAsync(TimeSpan.FromMinutes(1), Token);
        Assert.Equal(1, received.ExitCode);
        Assert.Contains("--recovery-timeout", received.ErrorLines[^1], StringComparison.Ordinal);
        Assert.False(JsonElement.Parse(received.Out).TryGetProperty("file", out _));
    }

    [Fact]
    public async Task Ctrl_C_at_a_paused_source_ends_it_and_says_where_the_guest_is()
    {
        await using var pair = await PostcopyPair.StartAsync(s_stall, Token, receive: s_short);
        await PostcopyPair.PauseAsync(pair.SendControl);

        await pair.StopSourceAsync();

        var sent = await pair.Sending.WaitAsync(TimeSpan.FromMinutes(1), Token);
        Assert.Equal(130, sent.ExitCode);
        Assert.Contains(sent.ErrorLines, static line => line.Contains("not all of its memory", StringComparison.Ordinal));
        Assert.Equal("at_destination", JsonElement.Parse(sent.Out).GetProperty("guest").GetString());
        await PostcopyPair.PauseAsync(pair.ReceiveControl);
        Assert.Equal(1, (await pair.Receiving.WaitAsync(TimeSpan.FromMinutes(1), Token)).ExitCode);
    }

    [Fact]
    public async Task Ctrl_C_at_a_paused_destination_waits_for_the_source_and_keeps_nothing()
    {
        using var stop = new CancellationTokenSource();
        await using var pair = await PostcopyPair.StartAsync(s_stall, stop.Token);
        foreach (var control in (string[])[pair.SendControl, pair.ReceiveControl])
        {
            await PostcopyPair.PauseAsync(control);
        }

        await stop.CancelAsync();
        Assert.Equal("paused", await PostcopyPair.StateAsync(pair.ReceiveControl));
        await PostcopyPair.PostcopyAsync("resume", "--control", pair.SendControl);

        var received = await pair.Receiving.WaitAsync(TimeSpan.FromMinutes(1), Token);
        Assert.Equal(130, received.ExitCode);
        Assert.False(JsonElement.Parse(received.Out).TryGetProperty("file", out _));
        // It does not hear where the guest is: the next pause is its operator's.
        await pair.StopSourceAsync();
        Assert.NotEqual(0, (await pair.Sending.WaitAsync(TimeSpan.FromMinutes(1), Token)).ExitCode);
    }

    [Fact]
    public async Task Whatever_else_is_said_at_the_socket_is_answered_and_changes_nothing()
    {
        await using var pair = await PostcopyPair.StartAsync(s_stall, Token);
        await PostcopyPair.ReachesAsync(pair.SendControl, "postcopy");
        using var silent = await ConnectAsync(pair.SendControl);
        foreach (var question in (string[])
            ["\n", "{}\n", "null\n", "{\"command\":\"pause\"", new string('x', 4096),
                "{\"schema\":\"dataplane.postcopy_control/1\",\"command\":\"explode\"}\n",
                "{\"schema\":\"dataplane.postcopy_control/1\",\"command\":\"resume\",\"address\":\"nowhere\"}\n",
                "{\"schema\":\"dataplane.postcopy_control/2\",\"command\":\"pause\"}\n"])
        {
            using var client = await ConnectAsync(pair.SendControl);
            await client.SendAsync(Encoding.UTF8.GetBytes(question), Token);
            client.Shutdown(SocketShutdown.Send);
            var json = JsonElement.Parse(await ReadAsync(client));
            Assert.NotEmpty(json.GetProperty("error").GetString()!);
            Assert.Equal("postcopy", json.GetProperty("migration").GetProperty("state").GetString());
        }

        Assert.Equal("postcopy", await PostcopyPair.StateAsync(pair.SendControl));
        await PostcopyPair.PauseAsync(pair.SendControl);
        await PostcopyPair.PauseAsync(pair.ReceiveControl);
        await PostcopyPair.PostcopyAsync("resume", "--control", pair.SendControl);
        await pair.ArrivesAsync();
    }

    [Theory]
    [InlineData("status")]
    [InlineData("pause")]
    [InlineData("resume")]
    public async Task A_socket_at_which_nobody_answers_is_one_line_and_exit_1(string verb)
    {
        var run = await ToolRun.RunAsync(["postcopy", verb, "--control", "/nowhere/at.all"], Token);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("/nowhere/at.all", Assert.Single(run.ErrorLines), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("postcopy")]
    [InlineData("postcopy", "stop")]
    [InlineData("postcopy", "pause", ":4444")]
    [InlineData("postcopy", "resume", "nowhere")]
    [InlineData("send", "vm", ":4444", "--control", "x")]
    [InlineData("send", "vm", ":4444", "--recovery-timeout", "5s")]
    [InlineData("receive", "--listen", ":0", "--out", "vm", "--control", "x")]
    [InlineData("receive", "--listen", ":0", "--out", "vm", "--recovery-timeout", "5s")]
    public async Task A_wrong_command_line_exits_2(params string[] arguments)
    {
        var run = await ToolRun.RunAsync(arguments, Token);
        Assert.Equal(2, run.ExitCode);
        Assert.Single(run.ErrorLines);
    }

    [Fact]
    public void Every_command_below_a_command_has_two_examples_that_parse()
    {
        var root = DataPlaneCommandLine.Build(new ToolConsole { Out = TextWriter.Null, Error = TextWriter.Null });
        Assert.All(root.Subcommands.SelectMany(static command => command.Subcommands), command =>
        {
            var examples = HelpWithExamples.ExamplesOf(command);
            Assert.Equal(2, examples.Count);
            Assert.All(examples, example => Assert.Empty(root.Parse(example.Line["dataplane ".Length..]).Errors));
        });
    }

    private static async Task<string> ReadAsync(Socket client)
    {
        var buffer = new byte[4096];
        var length = 0;
        while (await client.ReceiveAsync(buffer.AsMemory(length), Token) is var read and > 0)
        {
            length += read;
        }

        return Encoding.UTF8.GetString(buffer, 0, length);
    }

    private static async Task<Socket> ConnectAsync(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), Token);
        return socket;
    }
}
