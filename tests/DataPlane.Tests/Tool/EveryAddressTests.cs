using System.Diagnostics;
using DataPlane.Guard.Qmp;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>Every command with every form of ADDR that the help names, where it listens and where it connects.</summary>
public sealed class EveryAddressTests
{
    private const string Unix = "unix:FOLDER/s";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private static readonly string[] s_listening =
        ["0.0.0.0:0", "[::]:0", ":0", "127.0.0.1:0", "[::1]:0", "localhost:0", "tcp:127.0.0.1:0", "tcp:[::1]:0", "tcp::0", Unix];

    private static readonly string[] s_connecting =
    [
        "0.0.0.0:PORT", "[::]:PORT", ":PORT", "127.0.0.1:PORT", "[::1]:PORT", "localhost:PORT", "tcp:127.0.0.1:PORT",
        "[::ffff:127.0.0.1]:PORT",
    ];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public static TheoryData<string, string> Listening => new(
        from command in (string[])["receive", "serve", "guard"]
        from form in s_listening
        where command != "serve" || form != Unix // it answers other hosts, and says so
        select new TheoryDataRow<string, string>(command, form));

    public static TheoryData<string> Connecting => new(s_connecting);

    [Theory]
    [MemberData(nameof(Listening))]
    public async Task A_command_listens(string command, string form)
    {
        Requires.FamilyOf(form);
        using var vm = new SavedFile("pc-q35-10.0");
        var folder = Path.GetDirectoryName(vm.Path)!;
        string[] more = command switch
        {
            "receive" => ["--out", $"{folder}/out"],
            "guard" => ["--to", "127.0.0.1:1"],
            _ => [],
        };
        await using var tool = RunningTool.Start(
            [command, "--listen", form.Replace("FOLDER", folder, StringComparison.Ordinal), "--no-progress", .. more]);
        var address = await tool.ListeningAsync();
        // What it says is an address that can be connected to as it stands.
        using var socket = await ChannelDialer.ConnectSocketAsync(address, new ChannelOptions(), "test", 0, Token);
    }

    [Fact]
    public async Task Serve_says_why_it_takes_no_path()
    {
        var run = await ToolRun.RunAsync(["serve", "--listen", "unix:/tmp/s"], Token);
        Assert.Equal(2, run.ExitCode);
        Assert.Contains("needs a TCP address", run.Error, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Connecting))]
    public async Task Send_connects(string form)
    {
        using var vm = new SavedFile("pc-q35-10.0");
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination([ChannelAddress.Parse(":0")], incoming, new() { MultifdChannels = 2 });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        await SendAsync(vm, At(form, destination.LocalAddresses[0]));
        await receiving.WaitAsync(s_patience, Token);
    }

    [Theory]
    [MemberData(nameof(Connecting))]
    public async Task Guard_connects_to_QEMU(string form)
    {
        using var vm = new SavedFile("pc-q35-10.0");
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination([ChannelAddress.Parse(":0")], incoming, new() { MultifdChannels = 2 });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        await using var guard = RunningTool.Start(
            "guard", "--listen", "127.0.0.1:0", "--to", At(form, destination.LocalAddresses[0]), "--channels", "2", "--no-progress");
        await SendAsync(vm, (await guard.ListeningAsync()).ToString());
        await receiving.WaitAsync(s_patience, Token);
    }

    [Theory]
    [MemberData(nameof(Connecting))]
    public async Task A_monitor_is_reached(string form)
    {
        using var listener = ChannelListener.Listen(ChannelAddress.Parse(":0"), new ChannelOptions());
        using var monitor = await QmpDialer.ConnectAsync(
            ChannelAddress.Parse(At(form, listener.LocalAddress)), s_patience, TimeProvider.System, Token);
        Assert.Equal(AcceptOutcome.Accepted, listener.TryAccept(out var accepted, out _));
        accepted.Socket.Dispose();
    }

    [Theory]
    [MemberData(nameof(Connecting))]
    public async Task Bench_connects(string form)
    {
        await using var serve = RunningTool.Start("serve", "--listen", ":0", "--no-progress");
        var bench = await ToolRun.RunAsync(
            ["bench", "--to", At(form, await serve.ListeningAsync()), "--ram", "4M", "--runs", "1", "--channels", "1", "--dirty-rate", "0"],
            Token);
        Assert.True(bench.ExitCode == 0, bench.Error);
    }

    /// <summary>A link-local address counts on one link only, which its zone names.</summary>
    [Theory]
    [InlineData("receive")]
    [InlineData("guard")]
    [InlineData("serve")]
    public async Task An_address_with_a_zone_is_listened_on_and_connected_to(string command)
    {
        await using var network = await NetworkNamespace.CreateAsync($"dp{Environment.ProcessId % 10000}z{command[0]}");
        await network.IpAsync("link set lo up");
        await network.IpAsync("link add va type veth peer name vb");
        await network.IpAsync("link set va up");
        await network.IpAsync("link set vb up");
        await network.IpAsync("addr add fe80::1/64 dev va nodad");
        using var vm = new SavedFile("pc-q35-10.0");
        var folder = Path.GetDirectoryName(vm.Path)!;
        List<Process> servers = [];
        try
        {
            if (command == "guard")
            {
                servers.Add(await ListenAsync(network, "receive", "--listen", "[fe80::1%va]:4445", "--out", $"{folder}/out"));
            }

            servers.Add(await ListenAsync(network, command switch
            {
                "receive" => ["receive", "--listen", "[fe80::1%va]:4444", "--out", $"{folder}/out"],
                "guard" => ["guard", "--listen", "[fe80::1%va]:4444", "--to", "[fe80::1%va]:4445"],
                _ => [command, "--listen", "[fe80::1%va]:4444"],
            }));
            using var client = command == "serve"
                ? network.Start("bench", "--to", "[fe80::1%va]:4444", "--ram", "4M", "--runs", "1", "--channels", "1", "--dirty-rate", "0")
                : network.Start("send", vm.Path, "[fe80::1%va]:4444");
            var results = client.StandardOutput.ReadToEndAsync(Token);
            var said = await client.StandardError.ReadToEndAsync(Token).WaitAsync(s_patience, Token);
            await client.WaitForExitAsync(Token).WaitAsync(s_patience, Token);
            await results;
            Assert.True(client.ExitCode == 0, said);
        }
        finally
        {
            foreach (var server in servers)
            {
                server.Kill(entireProcessTree: true);
                server.Dispose();
            }
        }
    }

    private static async Task<Process> ListenAsync(NetworkNamespace network, params string[] arguments)
    {
        var process = network.Start(arguments);
        while (await process.StandardError.ReadLineAsync(Token).AsTask().WaitAsync(s_patience, Token) is { } line)
        {
            if (line.StartsWith("listening on ", StringComparison.Ordinal))
            {
                return process;
            }
        }

        throw new EndOfStreamException($"{arguments[0]} does not listen");
    }

    private static async Task SendAsync(SavedFile vm, string to)
    {
        var send = await ToolRun.RunAsync(["send", vm.Path, to, "--channels", "2"], Token);
        Assert.True(send.ExitCode == 0, send.Error);
    }

    private static string At(string form, ChannelAddress listening)
    {
        Requires.FamilyOf(form);
        return form.Replace("PORT", $"{listening.Port}", StringComparison.Ordinal);
    }
}
