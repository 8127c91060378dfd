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
        from capability in (string[])["xbzrle", "x-ignore-shared", "validate-uuid", .. CapabilityNames.WithoutEffectOnTheWire(version)]
        let channels = capability is "xbzrle" or "x-ignore-shared" ? 0 : 2
        select new TheoryDataRow<string, string, int>(version.Label, capability, channels);

    private async Task PassesAsync(string label, string capability, int channels)
    {
        var version = QemuVersion.Parse(label);
        var options = Machine(label, version.NewestMachine);
        var settings = new MigrationSettings { Channels = channels, ReturnPath = true, Capabilities = [capability] };
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
