using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using DataPlane.Guard;
using DataPlane.Tests.Admission;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>Sessions that end in QEMU, which is a TLS server here.</summary>
public sealed class TlsPassThroughTests : IDisposable
{
    private const string Answer = "{}";

    private readonly TestAuthority _authority = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(SslProtocols.Tls12, true)]
    [InlineData(SslProtocols.Tls13, true)]
    [InlineData(SslProtocols.Tls12, false)]
    [InlineData(SslProtocols.Tls13, false)]
    public async Task Sessions_go_to_QEMU_one_at_a_time_and_in_order(SslProtocols protocols, bool hasMonitor)
    {
        using var monitor = hasMonitor ? Monitor() : null;
        await using var scene = await OpenAsync(monitor, channels: 2);
        var main = ComeAsync(scene, protocols);
        using var qemuMain = await AcceptAsync(scene);
        using var source = await main;
        await scene.StateAsync(GuardState.Relaying);

        var second = ComeAsync(scene, protocols);
        var waits = await scene.AcceptAsync();
        var third = ComeAsync(scene, protocols);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Channels.Count == 3, "the third is held", Token);
        Assert.False(scene.HasKnocked); // QEMU is inside the second's handshake
        using var qemuSecond = await ShakeHandsAsync(waits, _authority.Folder);
        using var qemuThird = await AcceptAsync(scene);
        using var multifd = await second;
        using var another = await third;

        await source.SayAsync(Opening.Main);
        var heard = new byte[Opening.Main.Length];
        await qemuMain.ReadExactlyAsync(heard, Token);
        Assert.Equal(Opening.Main, heard);
        await qemuMain.WriteAsync(new byte[] { 1, 2, 3 }, Token);
        Assert.Equal([1, 2, 3], await source.HearAsync(3));
        await another.SayAsync(Opening.Multifd(1));
        await qemuThird.ReadExactlyAsync(new byte[64], Token);

        // All are there: nobody else is heard.
        using var further = ScriptedPeer.Connect(scene.Guard.LocalAddresses[0]);
        further.Send(TlsKnock.Hello);
        await further.ReadToEndAsync(Token);
        Assert.False(scene.HasKnocked);
    }

    [Fact]
    public async Task A_session_that_stalls_is_cut_and_the_next_one_comes()
    {
        using var monitor = Monitor();
        await using var scene = await OpenAsync(monitor, handshake: TimeSpan.FromMilliseconds(300));
        var stalls = scene.Knock(TlsKnock.Hello);
        var qemu = await scene.AcceptAsync();
        Assert.Equal(TlsKnock.Hello, await qemu.ReceiveAsync(TlsKnock.Hello.Length, Token));
        var honest = ComeAsync(scene);
        Assert.Equal(PeerEnd.Closed, (await qemu.ReadToEndAsync(Token)).End);
        await stalls.ReadToEndAsync(Token);

        using var main = await AcceptAsync(scene);
        using var source = await honest;
        await scene.StateAsync(GuardState.Relaying);
        Assert.Single(scene.Guard.Snapshot().Channels);
        Assert.Equal(1, scene.Guard.Snapshot().Refused[RefusalReason.TlsHandshake]);
    }

    [Fact]
    public async Task A_client_that_looks_as_if_it_had_finished_is_cut_all_the_same_when_QEMU_stands_still()
    {
        using var monitor = Monitor();
        await using var scene = await OpenAsync(monitor, handshake: TimeSpan.FromMilliseconds(500));
        monitor.Answers.TryRemove("query-version", out _); // QEMU waits for the rest of a message that was cut into records
        var deceives = scene.Knock(TlsKnock.Hello);
        var qemu = await scene.AcceptAsync();
        await qemu.ReceiveAsync(TlsKnock.Hello.Length, Token);
        qemu.Send(ServerHello);
        await deceives.ReceiveAsync(ServerHello.Length, Token);
        deceives.Send(EncryptedRecord(69));
        await qemu.ReadToEndAsync(Token);
        await deceives.ReadToEndAsync(Token);
        Assert.Equal(GuardState.Waiting, scene.Guard.Snapshot().State);
        Assert.True(monitor.WasAsked("query-version"));
    }

    [Fact]
    public async Task A_session_that_QEMU_refuses_is_no_channel()
    {
        using var monitor = Monitor();
        await using var scene = await OpenAsync(monitor);
        var stranger = scene.Knock(TlsKnock.Hello);
        var qemu = await scene.AcceptAsync();
        await qemu.ReceiveAsync(TlsKnock.Hello.Length, Token);
        qemu.Send([21, 3, 3, 0, 2, 2, 40]); // an alert
        qemu.Dispose();
        await stranger.ReadToEndAsync(Token);
        Assert.Equal(GuardState.Waiting, scene.Guard.Snapshot().State);

        var honest = ComeAsync(scene);
        using var main = await AcceptAsync(scene);
        using var source = await honest;
        await scene.StateAsync(GuardState.Relaying);
    }

    [Fact]
    public async Task A_QEMU_that_cannot_be_reached_ends_the_migration_and_no_client_is_blamed_for_it()
    {
        using var monitor = Monitor();
        await using var scene = await OpenAsync(monitor);
        File.Delete(scene.Incoming);

        scene.Knock(TlsKnock.Hello);

        Assert.Equal(GuardState.Failed, await scene.EndAsync());
        Assert.Contains("cannot connect to unix:", scene.Guard.Snapshot().Failure, StringComparison.Ordinal);
        Assert.Equal(0, scene.Guard.Snapshot().Refused[RefusalReason.TlsHandshake]);
    }

    [Fact]
    public async Task QEMU_says_how_a_migration_stands_and_ends_and_a_pause_is_recovered()
    {
        using var monitor = Monitor();
        await using var scene = await OpenAsync(monitor);
        var first = ComeAsync(scene);
        var qemu = await scene.AcceptAsync();
        using (var main = await ShakeHandsAsync(qemu, _authority.Folder))
        using (var source = await first)
        {
            await scene.StateAsync(GuardState.Relaying);
            monitor.SayStatus("postcopy-active");
            await scene.StateAsync(GuardState.Postcopy);
        }

        // The source has lost its link, and comes again before QEMU has noticed.
        var second = ComeAsync(scene);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Channels.Count == 2, "the recovery is held", Token);
        Assert.False(scene.HasKnocked);
        qemu.Dispose();
        monitor.SayStatus("postcopy-paused");
        using var again = await AcceptAsync(scene);
        using var recovered = await second;
        await scene.StateAsync(GuardState.Recovering);
        monitor.SayStatus("postcopy-active");
        await scene.StateAsync(GuardState.Postcopy);
        monitor.SayStatus("completed");
        again.Dispose();
        recovered.Dispose();
        Assert.Equal(GuardState.Completed, await scene.EndAsync());
    }

    [Fact]
    public async Task The_wait_for_QEMU_to_say_what_the_end_of_a_lost_link_means_does_not_end_the_next_link()
    {
        var limit = TimeSpan.FromMilliseconds(4321);
        using var monitor = Monitor();
        await using var scene = await OpenAsync(monitor, limit: limit);
        var isWaiting = false;
        var first = ComeAsync(scene);
        var qemu = await scene.AcceptAsync();
        using (var main = await ShakeHandsAsync(qemu, _authority.Folder))
        using (var source = await first)
        {
            await scene.StateAsync(GuardState.Relaying);
            monitor.SayStatus("postcopy-active");
            await scene.StateAsync(GuardState.Postcopy);
            scene.Time.Lacks = length =>
            {
                isWaiting |= length == limit;
                return null;
            };
        }

        qemu.Dispose();
        await Eventually.TrueAsync(() => isWaiting, "the guard waits for QEMU's status", Token);
        monitor.SayStatus("postcopy-paused");
        await scene.StateAsync(GuardState.Paused);
        var second = ComeAsync(scene);
        using var again = await AcceptAsync(scene);
        using var recovered = await second;
        await scene.StateAsync(GuardState.Recovering);

        await Task.Delay(limit, Token);

        Assert.Equal(GuardState.Recovering, scene.Guard.Snapshot().State);
    }

    public void Dispose() => _authority.Dispose();

    /// <summary>TLS 1.3, AES-256-GCM: as QEMU says it.</summary>
    private static byte[] ServerHello { get; } =
        [
            22, 3, 3, 0, 4 + 2 + 32 + 1 + 2 + 1 + 2 + 6, 2, 0, 0, 2 + 32 + 1 + 2 + 1 + 2 + 6, 3, 3, .. new byte[32],
            0, 0x13, 0x02, 0, 0, 6, 0, 43, 0, 2, 3, 4,
        ];

    private static byte[] EncryptedRecord(byte length) => [23, 3, 3, 0, length, .. new byte[length]];

    internal static FakeMonitor Monitor()
    {
        FakeMonitor monitor = new();
        monitor.Answers["query-version"] = Answer;
        monitor.Answers["query-migrate-parameters"] = """{"multifd-channels": 2, "tls-creds": "tls0"}""";
        return monitor;
    }

    private static Task<GuardScene> OpenAsync(
        FakeMonitor? monitor, int channels = 0, TimeSpan? handshake = null, TimeSpan? limit = null)
    {
        if (monitor is not null && channels > 0)
        {
            monitor.Answers["query-migrate-capabilities"] = FakeMonitor.Capabilities("events", "multifd");
        }

        return GuardScene.OpenAsync(channels, monitor: monitor, change: options => options with
        {
            TlsPassThrough = monitor is null,
            TlsHandshakeTimeout = handshake ?? TimeSpan.FromMinutes(1),
            MonitorTimeout = limit ?? options.MonitorTimeout,
        });
    }

    private Task<TlsKnock> ComeAsync(GuardScene scene, SslProtocols protocols = SslProtocols.Tls13) =>
        TlsKnock.ComeAsync(scene.Guard.LocalAddresses[0], _authority.Folder, protocols);

    /// <summary>QEMU accepts the next session, and closes its socket with the session.</summary>
    private async Task<SslStream> AcceptAsync(GuardScene scene) =>
        await ShakeHandsAsync(await scene.AcceptAsync(), _authority.Folder, ownsSocket: true);

    internal static async Task<SslStream> ShakeHandsAsync(ScriptedPeer peer, string folder, bool ownsSocket = false)
    {
        var stream = new SslStream(new NetworkStream(peer.Socket, ownsSocket));
        using var credentials = TlsCredentials.FromFolder(folder, TlsEnd.Server);
        await stream.AuthenticateAsServerAsync(credentials.ServerOptions(), Token);
        return stream;
    }
}
