using DataPlane.QemuTests.Guard;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>Both QEMUs have a capability that changes nothing for the guard between them.</summary>
public sealed class CapabilityGuardTests : GuardTest
{
    public static TheoryData<string, string, int> InNewest => new(Rows(QemuVersion.V111));

    public static TheoryData<string, string, int> InOlder => new([.. Rows(QemuVersion.V72), .. Rows(QemuVersion.V100)]);

    [Theory]
    [MemberData(nameof(InNewest))]
    public Task A_guest_passes_the_guard_in_the_newest_QEMU_with(string version, string capability, int channels) =>
        PassesAsync(version, capability, channels);

    [Theory(Explicit = true)]
    [MemberData(nameof(InOlder))]
    public Task A_guest_passes_the_guard_in_an_older_QEMU_with(string version, string capability, int channels) =>
        PassesAsync(version, capability, channels);

    private static IEnumerable<TheoryDataRow<string, string, int>> Rows(QemuVersion version) =>
        from capability in (string[])
            ["switchover-ack", "xbzrle", "x-ignore-shared", "validate-uuid", .. CapabilityNames.WithoutEffectOnTheWire(version)]
        let channels = capability is "xbzrle" or "x-ignore-shared" ? 0 : 2
        where capability != "switchover-ack" || version != QemuVersion.V72
        select new TheoryDataRow<string, string, int>(version.Label, capability, channels);

    [Theory(Explicit = true)]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public Task A_guest_passes_the_guard_where_bitmaps_have_other_names(string version) => PassesAsync(
        version, new MigrationSettings { ReturnPath = true, Capabilities = ["dirty-bitmaps"], Parameters = [BitmapNames.Mapping] });

    /// <summary>The guest runs on at its source, so the destination keeps it stopped.</summary>
    [Theory(Explicit = true)]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task A_background_snapshot_passes_the_guard(string label)
    {
        var version = QemuVersion.Parse(label);
        var options = Machine(label, version.NewestMachine);
        var source = await StartSourceAsync(options);
        await source.PrepareMigrationAsync(new MigrationSettings { Capabilities = ["background-snapshot"] }, Token);
        var destination = await StartAsync(options.IncomingIn(version) with { SecondMonitor = true, StayStopped = true }, "destination");
        await destination.PrepareMigrationAsync(new MigrationSettings(), Token);
        var guard = await StartAsync(new GuardOptions { Monitor = destination.OfferSecondMonitor() });

        await source.StartMigrationAsync(guard.Uri, Token);

        await source.WaitForMigrationAsync("completed", Token);
        await destination.WaitForMigrationAsync("completed", Token);
        Assert.Equal(0, await guard.WaitForExitAsync(Token));
        Assert.Equal("running", await source.StatusAsync(Token));
        var now = source.Console.Reports[^1];
        await source.Console.WaitForAsync(report => report.Pass > now.Pass, "the guest goes on at the source", Token);
        Assert.Equal("paused", await destination.StatusAsync(Token));
        await destination.ContinueGuestAsync(Token); // what a restore does, once the guest of the source is gone
        var first = await destination.Console.WaitForAsync(_ => true, "it goes on", Token);
        await destination.Console.WaitForAsync(report => report.Round >= first.Round + 2, "all of its memory is right", Token);
    }

    private Task PassesAsync(string label, string capability, int channels) =>
        PassesAsync(label, new MigrationSettings { Channels = channels, ReturnPath = true, Capabilities = [capability] });

    private async Task PassesAsync(string label, MigrationSettings settings)
    {
        var version = QemuVersion.Parse(label);
        var options = Machine(label, version.NewestMachine);
        var source = await StartSourceAsync(options);
        await source.PrepareMigrationAsync(settings, Token);
        var destination = await StartAsync(options.IncomingIn(version) with { SecondMonitor = true }, "destination");
        await destination.PrepareMigrationAsync(settings, Token);
        var guard = await StartAsync(new GuardOptions { Monitor = destination.OfferSecondMonitor() });

        await source.StartMigrationAsync(guard.Uri, Token);

        await ArrivedAsync(source, destination);
        Assert.Equal(0, await guard.WaitForExitAsync(Token));
    }
}
