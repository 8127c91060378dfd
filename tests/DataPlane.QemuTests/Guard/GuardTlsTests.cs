using DataPlane.QemuTests.Guard.Strangers;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Guard;

/// <summary>QEMUs that speak TLS with each other, through a guard that passes it on.</summary>
public sealed class GuardTlsTests : GuardTest
{
    public static TheoryData<string, int> Cases => new(
        from version in QemuVersion.All from channels in (int[])[0, 2] select new TheoryDataRow<string, int>(version.Label, channels));

    [Theory(Explicit = true)]
    [MemberData(nameof(Cases))]
    public Task TLS_that_nobody_disturbs(string version, int channels) => MovesAsync(version, channels, []);

    [Theory(Explicit = true)]
    [MemberData(nameof(Cases))]
    public Task Strangers_do_not_hold_up_TLS(string version, int channels) => MovesAsync(version, channels, StrangerKinds.All);

    private async Task MovesAsync(string version, int channels, IReadOnlyList<StrangerKind> kinds)
    {
        var folder = Work.NewFolder("psk");
        await File.WriteAllTextAsync(Path.Combine(folder, "keys.psk"), "qemu:00112233445566778899aabbccddeeff\n", Token);
        var settings = new MigrationSettings { Channels = channels, ReturnPath = true, Parameters = [("tls-creds", "tls0")] };
        var source = await StartSourceAsync(Newest(version) with { Extra = Credentials(folder, "client") });
        await source.PrepareMigrationAsync(settings, Token);
        var destination = await StartAsync(
            Newest(version).IncomingIn(source.Options.Version) with { Extra = Credentials(folder, "server"), SecondMonitor = true }, "destination");
        await destination.PrepareMigrationAsync(settings, Token);
        var guard = await StartAsync(new GuardOptions { Monitor = destination.SecondMonitor });
        await using var crowd = new StrangerCrowd(PortOf(guard.Uri), TargetOf(source.Options, settings));

        // The list's ClientHello is a half one.
        await crowd.ComeAsync(kinds, Token);
        await source.StartMigrationAsync(guard.Uri, Token);

        await ArrivedAsync(source, destination);
    }

    private static string[] Credentials(string folder, string end) => ["-object", $"tls-creds-psk,id=tls0,dir={folder},endpoint={end}"];
}
