using System.Net.Sockets;
using DataPlane.Guard;
using DataPlane.Tests.Admission;
using DataPlane.TestSupport;
using Microsoft.Extensions.Logging;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>A guard on loopback before a QEMU that is a Unix listener and a hand that drives it.</summary>
internal sealed class GuardScene : IAsyncDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;
    private readonly List<ScriptedPeer> _peers = [];
    private readonly Socket _qemu = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly CancellationTokenSource _stop = new();

    private GuardScene(
        int channels,
        bool preempt,
        FakeMonitor? monitor,
        TimeSpan undecided,
        Func<GuardedVmOptions, GuardedVmOptions>? change,
        bool listensAlready,
        ILogger<GuardedVm>? log)
    {
        var path = Incoming = Path.Combine(_folder, "qemu");
        _qemu.Bind(new UnixDomainSocketEndPoint(path));
        _qemu.Listen(1);
        if (monitor is not null && listensAlready)
        {
            monitor.Answers["query-migrate"] = $$"""{"socket-address": [{"type": "unix", "path": "{{path}}"}]}""";
        }

        var options = new GuardedVmOptions
        {
            Name = "vm",
            Listen = [ChannelAddress.Parse("127.0.0.1:0")],
            To = monitor is null ? ChannelAddress.Unix(path) : null,
            Qmp = monitor?.Address,
            Incoming = monitor is null ? null : ChannelAddress.Unix(path),
            MultifdChannels = monitor is null ? channels : 0,
            Preempt = monitor is null && preempt,
            UndecidedTimeout = undecided,
            DrainTimeout = TimeSpan.FromMilliseconds(500),
        };
        Guard = new GuardedVm(change is null ? options : change(options), log, Time);
    }

    internal GuardedVm Guard { get; }

    internal TimerCount Time { get; } = new();

    /// <summary>Path of QEMU's socket.</summary>
    internal string Incoming { get; }

    internal Task<GuardState> Run { get; private set; } = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    internal static async Task<GuardScene> OpenAsync(
        int channels = 0,
        bool preempt = false,
        FakeMonitor? monitor = null,
        TimeSpan? undecided = null,
        Func<GuardedVmOptions, GuardedVmOptions>? change = null,
        bool listensAlready = true,
        ILogger<GuardedVm>? log = null)
    {
        var scene = new GuardScene(channels, preempt, monitor, undecided ?? TimeSpan.FromSeconds(30), change, listensAlready, log);
        await scene.Guard.StartAsync(Token);
        scene.Run = scene.Guard.RunAsync(scene._stop.Token);
        return scene;
    }

    /// <summary>A client that connects to the guard and speaks.</summary>
    internal ScriptedPeer Knock(params ReadOnlySpan<byte> bytes)
    {
        var peer = ScriptedPeer.Connect(Guard.LocalAddresses[0]);
        _peers.Add(peer);
        return peer.Send(bytes);
    }

    /// <summary>The next connection that QEMU gets.</summary>
    internal async Task<ScriptedPeer> AcceptAsync()
    {
        ScriptedPeer peer = new(await _qemu.AcceptAsync(Token).AsTask().WaitAsync(TimeSpan.FromMinutes(1), Token));
        _peers.Add(peer);
        return peer;
    }

    /// <summary>A migration with a preempt channel begins and switches to postcopy. QEMU has read what main began with.</summary>
    internal async Task<PostcopyEnds> SwitchAsync()
    {
        var ends = new PostcopyEnds(Knock(Opening.Main), await AcceptAsync(), await AcceptAsync());
        await ends.Main.ReceiveAsync(Opening.Main.Length, Token);
        ends.Main.Send(PostcopyEnds.Switchover);
        await ends.Source.ReceiveAsync(PostcopyEnds.Switchover.Length, Token);
        await StateAsync(GuardState.Postcopy);
        return ends;
    }

    /// <summary>The source comes again. QEMU has read the command by which main begins, and has not said RESUME_ACK.</summary>
    internal async Task<PostcopyEnds> RecoverAsync()
    {
        var ends = new PostcopyEnds(Knock(Opening.Recovery), await AcceptAsync(), await AcceptAsync());
        await ends.Main.ReceiveAsync(Opening.Recovery.Length, Token);
        return ends;
    }

    /// <summary>Whether QEMU has a connection that it has not accepted.</summary>
    internal bool HasKnocked => _qemu.Poll(0, SelectMode.SelectRead);

    internal Task StateAsync(GuardState state) =>
        Eventually.TrueAsync(() => Guard.Snapshot().State == state, $"the guard is {state}", Token);

    internal async Task<GuardState> EndAsync() => await Run.WaitAsync(TimeSpan.FromMinutes(1), Token);

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Guard.DisposeAsync();
        if (Run is not null)
        {
            await ((Task)Run).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        _peers.ForEach(p => p.Dispose());
        _qemu.Dispose();
        _stop.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
