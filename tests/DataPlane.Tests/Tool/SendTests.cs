using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using DataPlane.Tests.Migration;
using DataPlane.TestSupport;
using DataPlane.Tool.CommandLine;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary><c>dataplane send</c> towards destinations without QEMU.</summary>
public sealed class SendTests
{
    private const string Pongs = "00020004000000010002000400000002";

    [Theory]
    [InlineData("pc-q35-10.0", 0)]
    [InlineData("pc-q35-10.0", 3)]
    [InlineData("pc-q35-7.2", 3)]
    [InlineData("pc-q35-noble", 3, "--machine", "pc-q35-8.2")]
    [InlineData("pc-q35-noble", 0)] // nothing is demanded that is not needed
    [InlineData("pc-q35-rhel9.4.0", 0, "--peer", "10.0")]
    [InlineData("pc-q35-9.2+pve1", 0)]
    [InlineData("pc-q35-9.2+pve1", 2)]
    [InlineData("pc-q35-9.2+pve1", 2, "--peer", "10.0")]
    [InlineData("pc-q35-noble", 3, "--peer", "7.2")]
    public async Task A_saved_VM_arrives(string machine, int channels, params string[] options)
    {
        using var vm = new SavedFile(machine);
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination([ChannelAddress.Parse("127.0.0.1:0")], incoming,
            new() { MultifdChannels = channels });
        var receiving = destination.ReceiveAsync(cancellationToken: TestContext.Current.CancellationToken);

        var run = await ToolRun.RunAsync(
            ["send", vm.Path, destination.LocalAddresses[0].ToString(), "--channels", $"{channels}", "--json", "-", .. options],
            TestContext.Current.CancellationToken);

        Assert.True(run.ExitCode == 0, run.Error);
        await receiving;
        Assert.Equal(machine, incoming.Machine!.Name);
        Assert.Equal(0xAB, incoming.Memory!.Blocks[0].Span(0, 1)[0]);
        var json = JsonElement.Parse(run.Out);
        Assert.Equal("dataplane.send/1", json.GetProperty("schema").GetString());
        Assert.Equal("at_destination", json.GetProperty("guest").GetString());
        Assert.Equal(256, json.GetProperty("normal_pages").GetInt64());
        Assert.Equal((3 << 20) / 4096 + 32, json.GetProperty("zero_pages").GetInt64());
        Assert.Equal(64, json.GetProperty("blocks")[1].GetProperty("sha256").GetString()!.Length);
        Assert.Equal(channels + 1, json.GetProperty("channels").GetArrayLength());
        Assert.Equal(["cpu", "timer"], json.GetProperty("devices").EnumerateArray().Select(static device =>
            device.GetProperty("name").GetString()));
    }

    [Theory]
    [InlineData("closed the return path", "")]
    [InlineData("sent none within", "waits")]
    public async Task A_destination_that_goes_without_SHUT_leaves_the_outcome_unknown(string why, string what)
    {
        using var vm = new SavedFile("pc-q35-10.0");
        using var listener = Listen(out var address);
        var peer = Task.Run(
            () =>
            {
                using var main = listener.AcceptSocket();
                ReadUntilQuiet(main);
                main.Send(Convert.FromHexString(Pongs));
                Assert.Equal(1, main.Receive(new byte[16]));
                if (what == "waits")
                {
                    RawSource.ReadToEnd(main);
                }
            },
            TestContext.Current.CancellationToken);

        var run = await ToolRun.RunAsync(["send", vm.Path, address, "--timeout", "2s", "--json", "-"],
            TestContext.Current.CancellationToken);

        await peer;
        Assert.Equal((int)ExitCode.CannotTell, run.ExitCode);
        var line = Assert.Single(run.ErrorLines, static line => line.Contains("outcome unknown", StringComparison.Ordinal));
        Assert.Contains(why, line, StringComparison.Ordinal);
        Assert.Contains(vm.Path, line, StringComparison.Ordinal);
        Assert.Equal("unknown", JsonElement.Parse(run.Out).GetProperty("guest").GetString());
        Assert.True(File.Exists(vm.Path));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task A_destination_that_hangs_is_a_clear_end_within_the_timeout(int channels)
    {
        using var vm = new SavedFile("pc-q35-10.0");
        using var listener = Listen(out var address);

        var run = await ToolRun.RunAsync(["send", vm.Path, address, "--channels", $"{channels}", "--timeout", "300ms", "--no-progress"],
            TestContext.Current.CancellationToken);

        Assert.Equal(1, run.ExitCode);
        Assert.Contains("has not begun to read", Assert.Single(run.ErrorLines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Ctrl_C_leaves_the_guest_here()
    {
        using var vm = new SavedFile("pc-q35-10.0");
        using var listener = Listen(out var address);
        using var stop = new CancellationTokenSource();
        var running = ToolRun.RunAsync(["send", vm.Path, address, "--json", "-"], stop.Token);
        using var main = await listener.AcceptSocketAsync(TestContext.Current.CancellationToken);

        await stop.CancelAsync();

        var run = await running;
        Assert.Equal(130, run.ExitCode);
        Assert.Equal("here", JsonElement.Parse(run.Out).GetProperty("guest").GetString());
    }

    [Theory]
    [InlineData("pc-q35-noble", "--machine", "--channels", "2")]
    [InlineData("pc-q35-rhel9.4.0", "--machine", "--channels", "1")]
    [InlineData("pc-q35-noble", "--machine", "--peer", "10.0", "--channels", "2")]
    [InlineData("pc-q35-10.0", "has no machine type", "--peer", "7.2")]
    [InlineData("pc-q35-10.0", "cannot connect")]
    public async Task What_cannot_work_is_said_in_one_line(string machine, string expected, params string[] options)
    {
        using var vm = new SavedFile(machine);
        string address;
        using (Listen(out address))
        {
            // Nobody listens there any more.
        }

        var run = await ToolRun.RunAsync(["send", vm.Path, address, "--no-progress", .. options], TestContext.Current.CancellationToken);

        Assert.Equal(1, run.ExitCode);
        Assert.Contains(expected, Assert.Single(run.ErrorLines), StringComparison.Ordinal);
        Assert.Empty(run.Out);
    }

    [Theory]
    [InlineData("send", "--no-progress")]
    [InlineData("inspect")]
    public async Task A_file_that_is_no_saved_VM_is_said_in_one_line(string command, params string[] options)
    {
        using var vm = new SavedFile("pc-q35-10.0");
        using (var file = File.OpenHandle(vm.Path, FileMode.Open, FileAccess.Write))
        {
            RandomAccess.SetLength(file, RandomAccess.GetLength(file) - 10);
        }

        string[] address = command == "send" ? ["127.0.0.1:1"] : [];
        foreach (var path in (string[])[vm.Path, vm.Path + "2", "/dev/null", Path.GetDirectoryName(vm.Path)!])
        {
            var run = await ToolRun.RunAsync([command, path, .. address, .. options], TestContext.Current.CancellationToken);
            Assert.Equal(1, run.ExitCode);
            Assert.Contains(path, Assert.Single(run.ErrorLines), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("send", "vm")]
    [InlineData("send")]
    [InlineData("send", "vm", "127.0.0.1")]
    [InlineData("send", "vm", ":4444", "--peer", "6.2")]
    [InlineData("send", "vm", ":4444", "--peer", "11.2")]
    [InlineData("send", "vm", ":4444", "--peer", "10")]
    [InlineData("send", "vm", ":4444", "--machine", "q35")]
    [InlineData("send", "vm", ":4444", "--uuid", "7")]
    [InlineData("send", "vm", ":4444", "--bind", "eth0")]
    [InlineData("send", "vm", ":4444", "--timeout", "0")]
    [InlineData("send", "vm", ":4444", "--max-bandwidth", "0")]
    [InlineData("inspect")]
    public async Task A_wrong_command_line_exits_2(params string[] arguments)
    {
        var run = await ToolRun.RunAsync(arguments, TestContext.Current.CancellationToken);
        Assert.Equal(2, run.ExitCode);
        Assert.Single(run.ErrorLines);
    }

    private static TcpListener Listen(out string address)
    {
        var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        address = listener.LocalEndpoint.ToString()!;
        return listener;
    }

    private static void ReadUntilQuiet(Socket socket)
    {
        socket.ReceiveTimeout = 200;
        try
        {
            while (socket.Receive(new byte[1 << 20]) > 0)
            {
            }
        }
        catch (SocketException quiet) when (quiet.SocketErrorCode is SocketError.TimedOut or SocketError.WouldBlock)
        {
            // Everything but the last byte.
        }

        socket.ReceiveTimeout = 10_000;
    }
}
