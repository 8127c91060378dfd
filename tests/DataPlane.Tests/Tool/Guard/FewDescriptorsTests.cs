using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using DataPlane.Tests.Admission;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Tool.Guard;

/// <summary>A guard that may have 1,024 files open, and more strangers than that.</summary>
public sealed class FewDescriptorsTests : IDisposable
{
    private const int Strangers = 1300;

    private readonly GuardTestFolder _folder = new();
    private readonly Socket _qemu = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly List<Socket> _strangers = [];
    private Process? _guard;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _strangers.ForEach(s => s.Dispose());
        if (_guard is { HasExited: false })
        {
            _guard.Kill();
        }

        _guard?.Dispose();
        _qemu.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task Silent_strangers_take_no_descriptor_of_a_migration_and_go_by_their_deadline()
    {
        _qemu.Bind(new UnixDomainSocketEndPoint(_folder.File("qemu")));
        _qemu.Listen(8);
        var address = await StartAsync("--channels", "2", "--undecided-timeout", "4s");
        await CrowdAsync(address);

        using var main = Knock(address, Opening.Main);
        using var first = Knock(address, Opening.Multifd(0));
        using var second = Knock(address, Opening.Multifd(1));
        using var qemuMain = await AcceptAsync();
        using var qemuFirst = await AcceptAsync();
        using var qemuSecond = await AcceptAsync();
        await CrowdAsync(address); // while it is under way, too

        // Every direction of every channel moves at the same time: each wants a pipe.
        var bytes = new byte[1 << 20];
        Random.Shared.NextBytes(bytes);
        await Task.WhenAll(
            MovesAsync(main, qemuMain, Opening.Main, bytes), MovesAsync(qemuFirst, first, [], bytes),
            MovesAsync(first, qemuFirst, Opening.Multifd(0), bytes), MovesAsync(second, qemuSecond, Opening.Multifd(1), bytes));

        JsonElement refused;
        do
        {
            refused = (await StatusAsync()).GetProperty("refused");
        }
        while (!refused.TryGetProperty("silent", out _) || !refused.TryGetProperty("evicted", out _));

        using var kill = Process.Start("/bin/kill", ["-TERM", _guard!.Id.ToString(CultureInfo.InvariantCulture)]);
        await _guard.WaitForExitAsync(Token);
        Assert.Equal(0, _guard.ExitCode);
    }

    private static async Task MovesAsync(ScriptedPeer from, ScriptedPeer to, byte[] before, byte[] bytes)
    {
        var sending = Task.Run(() => from.Send(bytes), Token);
        var got = await to.ReceiveAsync(before.Length + bytes.Length, Token).WaitAsync(TimeSpan.FromMinutes(1), Token);
        await sending;
        Assert.Equal([.. before, .. bytes], got);
    }

    private async Task CrowdAsync(IPEndPoint address)
    {
        for (var i = 0; i < Strangers; i++)
        {
            var stranger = new Socket(SocketType.Stream, ProtocolType.Tcp);
            _strangers.Add(stranger);
            await stranger.ConnectAsync(address, Token);
        }
    }

    private static ScriptedPeer Knock(IPEndPoint address, byte[] bytes)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        socket.Connect(address);
        return new ScriptedPeer(socket).Send(bytes);
    }

    private async Task<ScriptedPeer> AcceptAsync() =>
        new(await _qemu.AcceptAsync(Token).AsTask().WaitAsync(TimeSpan.FromMinutes(1), Token));

    private async Task<JsonElement> StatusAsync()
    {
        var control = _folder.File($"dataplane/guard-{_guard!.Id}.sock");
        var run = await ToolRun.RunAsync(["guard", "status", "--control", control, "--json", "-"], Token);
        Assert.Equal(0, run.ExitCode);
        return Assert.Single(JsonDocument.Parse(run.Out).RootElement.GetProperty("vms").EnumerateArray());
    }

    private async Task<IPEndPoint> StartAsync(params string[] options)
    {
        var start = new ProcessStartInfo("/bin/sh") { RedirectStandardError = true };
        start.Environment["XDG_RUNTIME_DIR"] = _folder.Path;
        start.Environment.Remove("RUNTIME_DIRECTORY");
        foreach (var argument in (string[])["-c", "ulimit -n 1024 && exec dotnet \"$@\"", "sh",
            Path.Combine(AppContext.BaseDirectory, "dataplane.dll"), "guard", "--listen", "127.0.0.1:0",
            "--to", $"unix:{_folder.File("qemu")}", "--name", "vm", "--no-progress", .. options])
        {
            start.ArgumentList.Add(argument);
        }

        _guard = Process.Start(start)!;
        while (await _guard.StandardError.ReadLineAsync(Token) is { } line)
        {
            if (line.StartsWith("listening on ", StringComparison.Ordinal))
            {
                return IPEndPoint.Parse(line["listening on ".Length..]);
            }
        }

        throw new EndOfStreamException("it does not listen");
    }
}
