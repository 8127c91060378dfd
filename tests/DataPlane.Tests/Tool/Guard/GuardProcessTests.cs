using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Xunit;

namespace DataPlane.Tests.Tool.Guard;

/// <summary>The guard as a service: what an operator and a service manager see of it.</summary>
public sealed class GuardProcessTests : IDisposable
{
    private readonly GuardTestFolder _folder = new();
    private readonly Socket _systemd = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
    private Process? _guard;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        if (_guard is { HasExited: false })
        {
            _guard.Kill();
        }

        _guard?.Dispose();
        _systemd.Dispose();
        _folder.Dispose();
    }

    private Process Start(params string[] arguments)
    {
        _systemd.Bind(new UnixDomainSocketEndPoint(_folder.File("notify")));
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "dataplane.dll"));
        start.ArgumentList.Add("guard");
        foreach (var argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        start.Environment["NOTIFY_SOCKET"] = _folder.File("notify");
        start.Environment["XDG_RUNTIME_DIR"] = _folder.Path;
        start.Environment.Remove("RUNTIME_DIRECTORY");
        return _guard = Process.Start(start)!;
    }

    /// <summary>A section that needs no QEMU until a channel comes.</summary>
    private static string Section(string name) => $"[{name}]\nlisten = 127.0.0.1:0\nto = unix:/no/such/{name}.sock\n";

    private void WriteConfig(params string[] names) => File.WriteAllText(_folder.File("guard.conf"), string.Concat(names.Select(Section)));

    private static async Task<string> NextAsync(Process guard, string start)
    {
        while (await guard.StandardError.ReadLineAsync(Token) is { } line)
        {
            if (line.StartsWith(start, StringComparison.Ordinal))
            {
                return line[start.Length..];
            }
        }

        throw new EndOfStreamException($"the guard ended without '{start}'");
    }

    private async Task<string> NotifiedAsync(string start)
    {
        var message = new byte[1024];
        while (true)
        {
            var length = await _systemd.ReceiveAsync(message, Token);
            var text = Encoding.UTF8.GetString(message, 0, length);
            if (text.StartsWith(start, StringComparison.Ordinal))
            {
                return text;
            }
        }
    }

    /// <summary>What systemd has been told and was not read yet.</summary>
    private List<string> Notified()
    {
        var message = new byte[1024];
        List<string> texts = [];
        while (_systemd.Poll(0, SelectMode.SelectRead))
        {
            texts.Add(Encoding.UTF8.GetString(message, 0, _systemd.Receive(message)));
        }

        return texts;
    }

    private async Task<JsonElement[]> VmsAsync(Process guard)
    {
        var control = _folder.File($"dataplane/guard-{guard.Id}.sock");
        var run = await ToolRun.RunAsync(["guard", "status", "--control", control, "--json", "-"], Token);
        Assert.Equal(0, run.ExitCode);
        return [.. JsonDocument.Parse(run.Out).RootElement.GetProperty("vms").EnumerateArray()];
    }

    private static string[] Names(JsonElement[] vms) => [.. vms.Select(vm => vm.GetProperty("name").GetString()!)];

    [Fact]
    public async Task A_service_tells_systemd_answers_status_reloads_on_SIGHUP_and_ends_with_0_on_SIGTERM()
    {
        WriteConfig("a", "b");
        var guard = Start("--config", _folder.File("guard.conf"), "--no-progress", "--json", "-");
        await NextAsync(guard, "listening on 127.0.0.1:");
        await NextAsync(guard, "listening on 127.0.0.1:");
        await NotifiedAsync("READY=1");
        var before = await VmsAsync(guard);
        Assert.Equal(["a", "b"], Names(before));
        Assert.All(before, vm => Assert.Equal("waiting", vm.GetProperty("state").GetString()));

        WriteConfig("b", "c");
        await ToolProcesses.SignalAsync(guard, "HUP");
        await NotifiedAsync("RELOADING=1");
        await NotifiedAsync("READY=1");
        await NextAsync(guard, "a: removed");
        await NextAsync(guard, "listening on 127.0.0.1:");
        var after = await VmsAsync(guard);
        while (Names(after) is not ["b", "c"])
        {
            after = await VmsAsync(guard);
        }

        Assert.Equal(before[1].GetProperty("listen").GetString(), after[0].GetProperty("listen").GetString());

        File.WriteAllText(_folder.File("guard.conf"), "[d]\nwhat is this");
        await ToolProcesses.SignalAsync(guard, "HUP");
        Assert.Equal($"{_folder.File("guard.conf")}:2: expected [NAME] or KEY = VALUE; the VMs stay as they are",
            await NextAsync(guard, "warning: "));
        Assert.Equal(["b", "c"], Names(await VmsAsync(guard)));

        // A typo in a number, and after it all goes on.
        File.WriteAllText(_folder.File("guard.conf"), Section("b") + "max-undecided = 1o0\n");
        await ToolProcesses.SignalAsync(guard, "HUP");
        Assert.Contains(":4: [b]: --max-undecided: '1o0'", await NextAsync(guard, "warning: "), StringComparison.Ordinal);
        WriteConfig("b", "c", "e");
        await ToolProcesses.SignalAsync(guard, "HUP");
        await NextAsync(guard, "listening on 127.0.0.1:");
        WriteConfig("b", "c");
        await ToolProcesses.SignalAsync(guard, "HUP");
        await NextAsync(guard, "e: removed");

        await ToolProcesses.SignalAsync(guard, "TERM");
        using var document = JsonDocument.Parse(await guard.StandardOutput.ReadToEndAsync(Token));
        await guard.WaitForExitAsync(Token);
        await NotifiedAsync("STOPPING=1");
        Assert.Equal(0, guard.ExitCode);
        Assert.Equal("ok", document.RootElement.GetProperty("result").GetString());
        Assert.Equal(["b", "c"], Names([.. document.RootElement.GetProperty("vms").EnumerateArray()]));
        Assert.Empty(Directory.GetFiles(_folder.File("dataplane")));
    }

    /// <summary>Whoever waits for the service is to find the addresses open.</summary>
    [Fact]
    public async Task A_service_is_ready_when_every_VM_has_been_tried()
    {
        using var monitor = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        monitor.Bind(new UnixDomainSocketEndPoint(_folder.File("slow.qmp")));
        monitor.Listen();
        var slow = $"[slow]\nlisten = 127.0.0.1:0\nqmp = unix:{_folder.File("slow.qmp")}\n";
        File.WriteAllText(_folder.File("guard.conf"), Section("a") + slow);

        var guard = Start("--config", _folder.File("guard.conf"), "--no-progress");
        using (await monitor.AcceptAsync(Token))
        {
            await NextAsync(guard, "listening on 127.0.0.1:");
            Assert.DoesNotContain(Notified(), static text => text.StartsWith("READY=1", StringComparison.Ordinal));
        }

        await NotifiedAsync("READY=1"); // the monitor is gone, which is an answer
    }

    [Theory]
    [InlineData("", 0, "nothing is wrong with it")]
    [InlineData("max-undecided = 1o0\n", 1, ":4: [a]: --max-undecided: '1o0'")]
    [InlineData("tls-dir = /no/such/folder\n", 1, "[a]: ")]
    public async Task A_file_can_be_checked_without_a_guard(string more, int exit, string said)
    {
        File.WriteAllText(_folder.File("guard.conf"), Section("a") + more);

        var run = await ToolRun.RunAsync(["guard", "--config", _folder.File("guard.conf"), "--check"], Token);

        Assert.Equal(exit, run.ExitCode);
        Assert.Contains(said, run.Out + run.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("listening", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Strangers_are_counted_by_reason_and_shown_while_they_say_nothing()
    {
        var guard = Start("--listen", "127.0.0.1:0", "--to", "unix:/no/such.sock", "--name", "web1", "--no-progress");
        var port = await NextAsync(guard, "listening on 127.0.0.1:");
        var address = new IPEndPoint(IPAddress.Loopback, int.Parse(port, System.Globalization.CultureInfo.InvariantCulture));
        using var silent = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await silent.ConnectAsync(address, Token);
        using var garbage = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await garbage.ConnectAsync(address, Token);
        await garbage.SendAsync("GET / HTTP/1.1\r\n\r\n"u8.ToArray(), Token);
        while (true)
        {
            var vm = Assert.Single(await VmsAsync(guard));
            if (vm.GetProperty("undecided").GetInt32() == 1
                && vm.GetProperty("refused").TryGetProperty("garbage", out var count) && count.GetInt64() == 1)
            {
                break;
            }
        }

        await ToolProcesses.SignalAsync(guard, "TERM");
        var table = await guard.StandardOutput.ReadToEndAsync(Token);
        await guard.WaitForExitAsync(Token);
        Assert.Equal(0, guard.ExitCode);
        Assert.StartsWith($"web1  {address}  ", table, StringComparison.Ordinal);
    }
}
