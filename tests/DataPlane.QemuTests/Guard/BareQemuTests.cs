using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using DataPlane.QemuTests.Guard.Strangers;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Guard;

/// <summary>
/// What one stranger does to a waiting QEMU with nothing before it: the reasons for the guard. When one of these fails, QEMU has changed
/// and the guard's rules for that version want another look.
/// </summary>
public sealed class BareQemuTests : MigrationTest
{
    private const int Aborted = 128 + 6;
    private const int SegmentationFault = 128 + 11;

    public static TheoryData<string, int, string> Freezes => new(
        from row in ((string Version, int Channels)[])[("10.0", 2), ("11.1", 2), ("11.1", 0)]
        from kind in (StrangerKind[])[StrangerKinds.Silent, StrangerKinds.HalfMagic, StrangerKinds.HalfInit]
        where row.Channels > 0 || kind != StrangerKinds.HalfInit // ended by it, not frozen
        select new TheoryDataRow<string, int, string>(row.Version, row.Channels, kind.Name));

    public static TheoryData<string, int, string, int> Ends => new()
    {
        { "7.2", 0, StrangerKinds.Http.Name, 1 },
        { "11.1", 0, StrangerKinds.Http.Name, 1 },
        { "11.1", 2, StrangerKinds.Http.Name, 1 },
        { "7.2", 0, StrangerKinds.Finish.Name, 1 },
        { "10.0", 2, StrangerKinds.Finish.Name, 1 },
        { "11.1", 2, StrangerKinds.Finish.Name, 1 },
        { "10.0", 2, StrangerKinds.IdOutOfRange.Name, SegmentationFault },
        { "11.1", 2, StrangerKinds.IdOutOfRange.Name, 1 },
    };

    [Theory]
    [MemberData(nameof(Freezes))]
    public async Task A_connection_without_enough_bytes_freezes_QEMU_and_the_migration_never_ends(string version, int channels, string kind)
    {
        var settings = new MigrationSettings { Channels = channels, ReturnPath = true };
        var source = await StartSourceAsync(Newest(version));
        await source.PrepareMigrationAsync(settings, Token);
        var (destination, uri) = await StartBareAsync(source.Options, settings);

        await using var stranger = await ComeAsync(kind, uri, source.Options, settings);
        await source.StartMigrationAsync(uri, Token);

        Assert.True(await MonitorProbe.StandsStillAsync(destination, Token), "its monitor answers");
        Assert.DoesNotContain("completed", source.States);
        Assert.False(destination.HasExited);
    }

    [Fact]
    public async Task A_silent_connection_is_taken_for_main_by_7_2_and_main_for_multifd()
    {
        // With a return path main speaks at once; without one both sides would wait here for ever.
        var settings = new MigrationSettings { Channels = 2, ReturnPath = true };
        var source = await StartSourceAsync(Newest("7.2"));
        await source.PrepareMigrationAsync(settings, Token);
        var (destination, uri) = await StartBareAsync(source.Options, settings);

        await using var stranger = await ComeAsync(StrangerKinds.Silent.Name, uri, source.Options, settings);
        await source.StartMigrationAsync(uri, Token);

        // The source fails, or waits for ever, as its channels come.
        await destination.Errors.WaitForAsync(
            line => line.Contains("received packet magic 5145564d", StringComparison.Ordinal), "main is refused", token: Token);
        Assert.DoesNotContain("completed", source.States);
    }

    [Theory]
    [MemberData(nameof(Ends))]
    public async Task A_stranger_ends_QEMU(string version, int channels, string kind, int exitCode)
    {
        var settings = new MigrationSettings { Channels = channels };
        var (destination, uri) = await StartBareAsync(Newest(version), settings);
        // An id means something only once main is there.
        await using var main = kind == StrangerKinds.IdOutOfRange.Name
            ? await ComeAsync(StrangerKinds.MainTwice.Name, uri, destination.Options, settings)
            : null;

        await using var stranger = await ComeAsync(kind, uri, destination.Options, settings);
        if (exitCode == SegmentationFault)
        {
            // It looks past the end of an array, when the channel comes or when the next one does. What lies there is chance.
            await using var id0 = await TryComeAsync(Init(0), uri, destination.Options, settings);
            var code = await destination.WaitForExitAsync(Patience.Default, Token);
            Assert.True(code == exitCode || code == 1, $"exit {code}");
            return;
        }

        Assert.Equal(exitCode, await destination.WaitForExitAsync(Patience.Default, Token));
    }

    [Fact]
    public async Task Eighteen_bytes_of_garbage_freeze_10_0_with_multifd()
    {
        var settings = new MigrationSettings { Channels = 2 };
        var (destination, uri) = await StartBareAsync(Newest("10.0"), settings);

        await using var stranger = await ComeAsync(StrangerKinds.Http.Name, uri, destination.Options, settings);

        Assert.True(await MonitorProbe.StandsStillAsync(destination, Token), "its monitor answers");
        Assert.False(destination.HasExited);
    }

    [Fact]
    public async Task A_second_main_channel_aborts_11_1()
    {
        var settings = new MigrationSettings { Channels = 2 };
        var (destination, uri) = await StartBareAsync(Newest("11.1"), settings);

        await using var first = await ComeAsync(StrangerKinds.MainTwice.Name, uri, destination.Options, settings);
        await using var second = await ComeAsync(StrangerKinds.MainTwice.Name, uri, destination.Options, settings);

        Assert.Equal(Aborted, await destination.WaitForExitAsync(Patience.Default, Token));
    }

    [Theory]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task A_QEMU_waits_once_in_its_life(string version)
    {
        var (destination, _) = await StartBareAsync(Newest(version), new MigrationSettings());

        var refusal = await Assert.ThrowsAsync<QmpException>(() => destination.StartIncomingAsync("tcp:127.0.0.1:0", Token));

        Assert.Contains("already been started", refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task A_silent_connection_freezes_a_QEMU_that_expects_TLS(string version)
    {
        var settings = new MigrationSettings { Parameters = [("tls-creds", "tls0")] };
        var machine = Newest(version) with { Extra = ["-object", "tls-creds-anon,id=tls0,endpoint=server"] };
        var (destination, uri) = await StartBareAsync(machine, settings);

        await using var stranger = await ComeAsync(StrangerKinds.Silent.Name, uri, machine, settings);

        Assert.True(await MonitorProbe.StandsStillAsync(destination, Token), "its monitor answers");
    }

    [Fact]
    public async Task Two_QEMUs_11_1_hang_with_an_early_preempt_channel_and_no_stranger_at_all()
    {
        // The source connects preempt and multifd beside each other: which of them arrives first is chance, so a relay decides it.
        var settings = Postcopy(preempt: true, channels: 2);
        using var door = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        door.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        door.Listen();
        var source = await StartSourceAsync(Machine("11.1", "pc-q35-7.2"));
        await source.PrepareMigrationAsync(settings, Token);
        var (destination, uri) = await StartBareAsync(source.Options, settings);

        await source.StartMigrationAsync($"tcp:127.0.0.1:{((IPEndPoint)door.LocalEndPoint!).Port}", Token);
        await using var relay = await OrderedRelay.AcceptAsync(door, 4, Token);
        Assert.Equal(1, relay.Silent);
        await relay.ConnectSilentSecondAsync(PortOf(uri), Token);

        Assert.True(await MonitorProbe.StandsStillAsync(destination, Token), "its monitor answers");
        Assert.DoesNotContain("completed", source.States);
    }

    [Fact]
    public async Task A_guest_is_lost_when_11_1_is_told_to_survive_garbage()
    {
        var settings = new MigrationSettings();
        var source = await StartSourceAsync(Newest("11.1"));
        await source.PrepareMigrationAsync(settings, Token);
        var destination = await StartAsync(source.Options.IncomingIn(QemuVersion.V111), "destination");
        await destination.PrepareMigrationAsync(settings, Token);
        await destination.ExecuteAsync(
            "migrate-incoming", new JsonObject { ["uri"] = "tcp:127.0.0.1:0", ["exit-on-error"] = false }, Token);
        var address = (await destination.ExecuteAsync("query-migrate", null, Token)).GetProperty("socket-address")[0];
        var uri = $"tcp:127.0.0.1:{address.GetProperty("port").GetString()}";

        await using (await ComeAsync(StrangerKinds.Garbage.Name, uri, source.Options, settings))
        {
            await destination.WaitForMigrationAsync("failed", Token);
        }

        await source.StartMigrationAsync(uri, Token);

        await source.WaitForMigrationAsync("completed", Token);
        Assert.Equal(Aborted, await destination.WaitForExitAsync(Patience.Default, Token));
    }

    [Theory]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task Main_is_silent_until_every_multifd_channel_is_connected(string version)
    {
        // A Unix socket completes one connection in advance, and the others wait for us. With TCP a connection beyond the queue stands for
        // its own side alone (SYN cookies), and may never come to ours.
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        var path = Work["late"];
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen(0);
        var source = await StartSourceAsync(Newest(version));
        await source.PrepareMigrationAsync(new MigrationSettings { Channels = 3, ReturnPath = true }, Token);

        await source.StartMigrationAsync($"unix:{path}", Token);
        using var main = await AcceptAsync();
        var spoken = main.ReceiveAsync(new byte[4], Token).AsTask();

        // One multifd channel stands, in the kernel; there is no room for the others.
        await Assert.ThrowsAsync<TimeoutException>(() => spoken.WaitAsync(TimeSpan.FromMilliseconds(500), Token));
        using var first = await AcceptAsync();
        using var second = await AcceptAsync();
        using var third = await AcceptAsync();
        Assert.Equal(4, await spoken.WaitAsync(Patience.Default, Token));

        Task<Socket> AcceptAsync() => listener.AcceptAsync(Token).AsTask().WaitAsync(Patience.Default, Token);
    }

    private static async Task<Stranger?> TryComeAsync(StrangerKind kind, string uri, QemuOptions machine, MigrationSettings settings)
    {
        try
        {
            return await Stranger.ConnectAsync(kind, PortOf(uri), TargetOf(machine, settings), IPAddress.Loopback, Token);
        }
        catch (SocketException)
        {
            return null; // too late: nobody listens any more
        }
    }

    private static StrangerKind Init(int id) => new($"multifd {id}", target => StrangerBytes.MultifdInit(target.Uuid, id));

    private static Task<Stranger> ComeAsync(string kind, string uri, QemuOptions machine, MigrationSettings settings) =>
        Stranger.ConnectAsync(StrangerKinds.Parse(kind), PortOf(uri), TargetOf(machine, settings), IPAddress.Loopback, Token);
}
