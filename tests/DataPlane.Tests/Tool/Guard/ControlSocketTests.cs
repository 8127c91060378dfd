using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using DataPlane.Tests.Transport;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;
using DataPlane.Tool.Guard;
using Xunit;

namespace DataPlane.Tests.Tool.Guard;

public sealed class ControlSocketTests : IDisposable
{
    private static readonly VmStatus s_vm = new()
    {
        Name = "web1",
        QemuVersion = "10.0.13",
        Listen = "192.0.2.1:49152",
        State = "postcopy",
        Channels =
        [
            new ChannelStatus
            {
                Kind = "main", Id = 0, Peer = "192.0.2.9:5000", State = "open",
                InBytes = 3 << 20, OutBytes = 4096, BytesPerSecond = 2e9,
            },
            new ChannelStatus
            {
                Kind = "multifd", Id = 1, Peer = "192.0.2.9:5001", State = "half_closed",
                InBytes = 5 << 20, OutBytes = 0, BytesPerSecond = 0,
            },
            new ChannelStatus { Kind = "preempt", Id = 0, State = "held", InBytes = 0, OutBytes = 0, BytesPerSecond = 0 },
        ],
        Undecided = 3,
        Candidates = 1,
        Refused = new Dictionary<string, long> { ["garbage"] = 2, ["id_taken"] = 7 },
        Completed = 1,
    };

    private readonly GuardTestFolder _folder = new();

    private string Socket => _folder.File("guard-1.sock");

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    private ControlServer Open(params VmStatus[] vms) => ControlServer.Open(Socket, () => vms, TimeProvider.System);

    [Fact]
    public async Task Status_shows_what_the_guard_knows_as_JSON()
    {
        await using var server = Open(s_vm);
        var run = await ToolRun.RunAsync(["guard", "status", "--control", Socket, "--json", "-"], Token);
        Assert.Equal(0, run.ExitCode);
        using var document = JsonDocument.Parse(run.Out);
        Assert.Equal("dataplane.guard_status/1", document.RootElement.GetProperty("schema").GetString());
        Assert.Equal(Environment.ProcessId, document.RootElement.GetProperty("guards")[0].GetProperty("pid").GetInt32());
        var vm = Assert.Single(document.RootElement.GetProperty("vms").EnumerateArray());
        Assert.Equal("web1", vm.GetProperty("name").GetString());
        Assert.Equal("192.0.2.1:49152", vm.GetProperty("listen").GetString());
        Assert.Equal("postcopy", vm.GetProperty("state").GetString());
        Assert.Equal(3, vm.GetProperty("undecided").GetInt32());
        Assert.Equal(7, vm.GetProperty("refused").GetProperty("id_taken").GetInt64());
        var main = vm.GetProperty("channels")[0];
        Assert.Equal(
            """{"kind":"main","id":0,"peer":"192.0.2.9:5000","state":"open","in_bytes":"""
                + """3145728,"out_bytes":4096,"bytes_per_second":2000000000}""",
            JsonSerializer.Serialize(main));
        Assert.False(vm.GetProperty("channels")[2].TryGetProperty("peer", out _));
    }

    [Fact]
    public async Task Status_shows_it_to_people()
    {
        await using var server = Open(s_vm);
        var run = await ToolRun.RunAsync(["guard", "status", "--control", Socket], Token);
        Assert.Equal(
            """
            web1  192.0.2.1:49152  postcopy, QEMU 10.0.13, 3 undecided (1 candidate), 9 refused (7 id taken, 2 garbage)
              main         192.0.2.9:5000    3.00 MiB in    4.00 KiB out  open  2.00 GB/s
              multifd 1    192.0.2.9:5001    5.00 MiB in         0 B out  half_closed
              preempt      -                      0 B in         0 B out  held

            """,
            run.Out);
        Assert.Empty(run.Error);
    }

    [Fact]
    public async Task A_client_that_says_nothing_and_reads_nothing_does_not_keep_others_from_their_answer()
    {
        VmStatus[] many = [.. Enumerable.Range(0, 20_000).Select(i => s_vm with { Name = $"vm{i}" })];
        await using var server = Open(many);
        using var silent = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await silent.ConnectAsync(new UnixDomainSocketEndPoint(Socket), Token);
        var answer = await ControlClient.AskAsync(Socket, TimeProvider.System, Token);
        Assert.Equal(20_000, answer!.Vms.Count);
    }

    [Fact]
    public async Task A_socket_whose_owner_accepts_nobody_is_found_in_use_at_once()
    {
        using var full = FullListener.On(new UnixDomainSocketEndPoint(Socket));
        var opening = Task.Run(() => Open(), Token);
        var error = await Assert.ThrowsAsync<CommandException>(() => opening.WaitAsync(TimeSpan.FromSeconds(30), Token));
        Assert.EndsWith("another guard answers there", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Only_its_own_user_may_ask_and_the_name_goes_with_the_guard()
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        await using (var server = Open())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Socket));
        }

        Assert.False(File.Exists(Socket));
        Assert.Null(await ControlClient.AskAsync(Socket, TimeProvider.System, Token));
    }

    [Fact]
    public async Task The_name_of_a_dead_guard_is_taken_over_and_that_of_a_living_one_is_not()
    {
        using (var dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            // Under another name, because disposing takes the name away, which a guard that is killed cannot do.
            dead.Bind(new UnixDomainSocketEndPoint(_folder.File("bound")));
            dead.Listen();
            File.Move(_folder.File("bound"), Socket);
        }

        Assert.Null(await ControlClient.AskAsync(Socket, TimeProvider.System, Token));
        await using var server = Open(s_vm);
        Assert.Equal($"--control {Socket}: another guard answers there", Assert.Throws<CommandException>(() => Open()).Message);
        Assert.NotNull(await ControlClient.AskAsync(Socket, TimeProvider.System, Token));
    }

    [Theory]
    [InlineData("")]
    [InlineData("{\"schema\":\"else\",\"dataplane_version\":\"1\",\"pid\":1,\"vms\":[]}")]
    [InlineData("{\"schema\":\"dataplane.guard_control/1\",\"vms\":[{\"name\":")]
    [InlineData("null")]
    [InlineData("{\"schema\":\"dataplane.guard_control/1\",\"dataplane_version\":\"1\",\"pid\":1,\"vms\":null}")]
    [InlineData("{\"schema\":\"dataplane.guard_control/1\",\"dataplane_version\":\"1\",\"pid\":1,\"vms\":[null]}")]
    [InlineData("{\"schema\":\"dataplane.guard_control/1\",\"dataplane_version\":null,\"pid\":1,\"vms\":[]}")]
    public async Task Whatever_else_answers_there_is_an_error_and_no_guard(string answer)
    {
        using var other = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        other.Bind(new UnixDomainSocketEndPoint(Socket));
        other.Listen();
        var asking = ControlClient.AskAsync(Socket, TimeProvider.System, Token);
        using (var client = await other.AcceptAsync(Token))
        {
            await client.SendAsync(Encoding.UTF8.GetBytes(answer), Token);
            client.Shutdown(SocketShutdown.Send);
            var error = await Assert.ThrowsAsync<CommandException>(() => asking);
            Assert.StartsWith(Socket, error.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>Connecting is refused by a plain file as by a dead socket: only its kind tells whether it may be removed.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_file_that_is_no_socket_stays_where_it_is(bool isLink)
    {
        var precious = _folder.File("precious");
        File.WriteAllText(precious, "guest memory");
        var path = isLink ? Socket : precious;
        if (isLink)
        {
            File.CreateSymbolicLink(Socket, precious);
        }

        var error = Assert.Throws<CommandException>(() => ControlServer.Open(path, () => [], TimeProvider.System));

        Assert.Contains("no socket", error.Message, StringComparison.Ordinal);
        Assert.Equal("guest memory", File.ReadAllText(precious));
        Assert.True(File.Exists(path));
    }

    [Fact]
    public async Task All_guards_of_a_runtime_folder_are_found_wherever_it_is()
    {
        var session = _folder.File("session");
        var own = ControlPaths.Own(ControlPaths.Guard, name => name == "XDG_RUNTIME_DIR" ? session : null);
        Assert.Equal(Path.Combine(session, "dataplane", $"guard-{Environment.ProcessId}.sock"), own);
        var service = ControlPaths.Own(
            ControlPaths.Guard, name => name == "RUNTIME_DIRECTORY" ? _folder.Path + ":/else" : session);
        Assert.StartsWith(_folder.Path, service, StringComparison.Ordinal);
        await using var server = ControlServer.Open(own, () => [s_vm], TimeProvider.System);
        Assert.Contains(own, ControlPaths.Find(ControlPaths.Guard, name => name == "XDG_RUNTIME_DIR" ? session : null));
        Assert.DoesNotContain(own, ControlPaths.Find(ControlPaths.Guard, _ => null));
    }
}
