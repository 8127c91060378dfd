using System.Security.Authentication;
using DataPlane.QemuTests.Guard.Strangers;
using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Guard;

/// <summary>
/// Sources that speak TLS, through a guard that passes it on to a QEMU with certificates, or ends it before a QEMU without.
/// </summary>
public sealed class GuardTlsTests : GuardTest
{
    // As short as a stranger may hold QEMU up, and long enough for an honest source on a busy machine.
    private static readonly string[] s_soon = ["--tls-handshake-timeout", "3s"];

    /// <summary>Each version in the configuration in which most can go wrong.</summary>
    public static TheoryData<string, bool> Richest => Cases(GuardConfiguration.Richest);

    public static TheoryData<string, bool> All => Cases(
        from configuration in GuardConfiguration.All
        where configuration.Machine == QemuVersion.Parse(configuration.Version).NewestMachine
        select configuration);

    public static TheoryData<string, bool> Postcopies => Cases(
        from configuration in GuardConfiguration.All
        where configuration is { Postcopy: true, Channels: 0 }
        where configuration.Machine == QemuVersion.Parse(configuration.Version).NewestMachine
        select configuration);

    public static TheoryData<string> Versions => new(QemuVersion.All.Select(version => new TheoryDataRow<string>(version.Label)));

    [Theory]
    [MemberData(nameof(Richest))]
    public Task Strangers_do_not_hold_up_TLS(string configuration, bool ends) => MovesAsync(configuration, ends, TlsStrangers.All);

    [Theory(Explicit = true)]
    [MemberData(nameof(All))]
    public Task TLS_that_nobody_disturbs(string configuration, bool ends) => MovesAsync(configuration, ends, []);

    [Theory(Explicit = true)]
    [MemberData(nameof(All))]
    public Task Strangers_do_not_hold_up_any_TLS(string configuration, bool ends) => MovesAsync(configuration, ends, TlsStrangers.All);

    /// <summary>The guard sees by the records alone that a handshake is over.</summary>
    [Theory]
    [MemberData(nameof(Versions))]
    public async Task TLS_passes_without_a_monitor(string version)
    {
        var settings = new MigrationSettings { Channels = 2, ReturnPath = true };
        var source = await StartSourceAsync(Newest(version) with { Extra = Credentials("client") });
        await source.PrepareMigrationAsync(Secured(settings), Token);
        var destination = await StartAsync(
            source.Options.IncomingIn(source.Options.Version) with { Extra = Credentials("server") }, "destination");
        await destination.PrepareMigrationAsync(Secured(settings), Token);
        var uri = await destination.StartIncomingAsync($"unix:{Work["incoming"]}", Token);
        var guard = await StartAsync(new GuardOptions { Extra = ["--to", uri, "--channels", "2", "--tls-pass-through", .. s_soon] });
        await using var crowd = new StrangerCrowd(PortOf(guard.Uri), TargetOf(source.Options, settings));

        await crowd.ComeAsync(TlsStrangers.All, Token);
        await source.StartMigrationAsync(guard.Uri, Token);

        await ArrivedAsync(source, destination);
        Assert.Equal(0, await guard.WaitForExitAsync(Token));
    }

    [Theory(Explicit = true)]
    [MemberData(nameof(Versions))]
    public Task TLS_with_a_shared_key_passes(string version) => MovesWithSharedKeyAsync(version, ends: false);

    [Theory]
    [MemberData(nameof(Versions))]
    public Task TLS_with_a_shared_key_ends_in_the_guard(string version) => MovesWithSharedKeyAsync(version, ends: true);

    private async Task MovesWithSharedKeyAsync(string version, bool ends)
    {
        var keys = await SharedKeysAsync();
        var settings = new MigrationSettings { Channels = 2, ReturnPath = true };
        var source = await StartSourceAsync(Newest(version) with { Extra = SharedKeys(keys, "client") });
        await source.PrepareMigrationAsync(Secured(settings), Token);
        var destination = await StartAsync(
            source.Options.IncomingIn(source.Options.Version) with
            {
                Extra = ends ? [] : SharedKeys(keys, "server"),
                SecondMonitor = true,
            },
            "destination");
        await destination.PrepareMigrationAsync(ends ? settings : Secured(settings), Token);
        string[] ended = ["--tls-psk", Path.Combine(keys, "keys.psk"), "--tls-allow", "q*"];
        var guard = await StartAsync(
            new GuardOptions { Monitor = destination.OfferSecondMonitor(), Extra = [.. ends ? ended : [], .. s_soon] });

        await source.StartMigrationAsync(guard.Uri, Token);

        await ArrivedAsync(source, destination);
    }

    private async Task<string> SharedKeysAsync()
    {
        var folder = Work.NewFolder("psk");
        await File.WriteAllTextAsync(Path.Combine(folder, "keys.psk"), "qemu:00112233445566778899aabbccddeeff\n", Token);
        return folder;
    }

    private static string[] SharedKeys(string folder, string end) =>
        ["-object", $"tls-creds-psk,id=tls0,dir={folder},endpoint={end}"];

    /// <summary>
    /// A source of this machine type opens its preempt channel early, beside the others: QEMU cannot tell them apart inside TLS and hangs,
    /// a guard that ends TLS can.
    /// </summary>
    [Fact]
    public Task Multifd_beside_an_early_preempt_channel_arrives_where_TLS_ends_in_the_guard() =>
        MovesAsync("11.1 pc-q35-7.2 multifd 2 preempt", ends: true, []);

    [Theory(Explicit = true)]
    [MemberData(nameof(Postcopies))]
    public async Task Strangers_between_the_loss_and_the_recovery_never_touch_the_guest(string configuration, bool ends)
    {
        await using var pair = await StartTlsAsync(GuardConfiguration.Parse(configuration), ends);
        await pair.BeginAsync(Token);
        await SwitchToPostcopyAsync(pair.Source, pair.Destination);
        await PauseAsync(pair.Source, pair.Destination);
        await pair.Guard.WaitForStatusAsync(status => status.GetProperty("state").GetString() == "paused", "paused", Token);

        await pair.Crowd.ComeAsync(TlsStrangers.All, Token);
        foreach (var version in (SslProtocols[])[SslProtocols.Tls12, SslProtocols.Tls13])
        {
            await TlsStrangers.ComeWithoutCertificateAsync(PortOf(pair.Guard.Uri), version, Token);
        }

        Assert.False(pair.Destination.HasExited);
        await pair.HurryAsync(Token);
        await pair.Source.ResumeMigrationAsync(pair.Guard.Uri, Token);

        await ArrivedAsync(pair.Source, pair.Destination);
    }

    /// <summary>What the guard is for: without it one connection that says nothing, or stalls, is the end of the migration.</summary>
    [Theory(Explicit = true)]
    [MemberData(nameof(Versions))]
    public async Task A_silent_connection_freezes_a_QEMU_that_waits_for_TLS(string version)
    {
        foreach (var kind in (StrangerKind[])[StrangerKinds.Silent, TlsStrangers.HalfHello, TlsStrangers.Stalls])
        {
            var settings = Secured(new MigrationSettings { ReturnPath = true });
            var (destination, uri) = await StartBareAsync(Newest(version) with { Extra = Credentials("server") }, settings);
            await using var crowd = new StrangerCrowd(PortOf(uri), TargetOf(destination.Options, settings));
            await crowd.ComeAsync([kind], Token);
            Assert.True(await MonitorProbe.StandsStillAsync(destination, Token), $"its monitor answers ({kind})");
            Assert.False(destination.HasExited);
            await destination.DisposeAsync();
        }
    }

    private static TheoryData<string, bool> Cases(IEnumerable<GuardConfiguration> configurations) => new(
        from configuration in configurations
        from ends in (bool[])[false, true]
        select new TheoryDataRow<string, bool>(configuration.ToString(), ends));

    private static MigrationSettings Secured(MigrationSettings settings) =>
        settings with { Parameters = [.. settings.Parameters, ("tls-creds", "tls0")] };

    /// <summary>Arguments for a QEMU with certificates; they are where QEMUs can see them.</summary>
    private string[] Credentials(string end)
    {
        var folder = Work["tls"];
        if (!Directory.Exists(folder))
        {
            using var authority = new TestAuthority();
            Directory.CreateDirectory(folder);
            foreach (var file in Directory.GetFiles(authority.Folder))
            {
                File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
            }
        }

        return ["-object", $"tls-creds-x509,id=tls0,dir={folder},endpoint={end},verify-peer=on"];
    }

    private async Task<GuardedPair> StartTlsAsync(GuardConfiguration configuration, bool ends)
    {
        var machine = Machine(configuration.Version, configuration.Machine);
        var settings = SettingsOf(configuration);
        var source = await StartSourceAsync(machine with { Extra = Credentials("client") });
        await source.PrepareMigrationAsync(Secured(Slowly(settings, Slow / 4)), Token);
        var waiting = machine.IncomingIn(machine.Version) with { SecondMonitor = true };
        var destination = await StartAsync(ends ? waiting : waiting with { Extra = Credentials("server") }, "destination");
        await destination.PrepareMigrationAsync(ends ? settings : Secured(settings), Token);
        string[] here = ends ? ["--tls-dir", Work["tls"]] : [];
        var guard = await StartAsync(new GuardOptions { Monitor = destination.OfferSecondMonitor(), Extra = [.. s_soon, .. here] });
        return new GuardedPair(
            configuration, source, destination, guard, new StrangerCrowd(PortOf(guard.Uri), TargetOf(machine, settings)));
    }

    private async Task MovesAsync(string configuration, bool ends, IReadOnlyList<StrangerKind> kinds)
    {
        await using var pair = await StartTlsAsync(GuardConfiguration.Parse(configuration), ends);
        using var arrived = new CancellationTokenSource();
        var watch = MonitorProbe.WatchAsync(pair.Destination, arrived.Token);
        try
        {
            await pair.Crowd.ComeAsync(kinds, Token);
            if (kinds.Count > 0)
            {
                await TlsStrangers.ComeWithoutCertificateAsync(PortOf(pair.Guard.Uri), SslProtocols.Tls12, Token);
            }

            await pair.BeginAsync(Token);
            await pair.UnderWayAsync(Token);
            await pair.Crowd.ComeAsync(kinds, Token);
            if (pair.Configuration.Postcopy)
            {
                await SwitchToPostcopyAsync(pair.Source, pair.Destination);
                await pair.Crowd.ComeAsync(kinds, Token);
            }

            await pair.HurryAsync(Token);
            await ArrivedAsync(pair.Source, pair.Destination);
        }
        finally
        {
            await arrived.CancelAsync();
        }

        Assert.InRange(await watch, TimeSpan.Zero, LongestAnswer);
        Assert.Equal(0, await pair.Guard.WaitForExitAsync(Token));
    }
}
