using System.Net;
using DataPlane.QemuTests.Guard.Strangers;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Guard;

/// <summary>What one stranger does to a QEMU that runs the guest of a paused postcopy, its port still open.</summary>
public sealed class BareQemuPausedTests : MigrationTest
{
    private const int SegmentationFault = 128 + 11;

    [Theory]
    [InlineData("7.2", SegmentationFault)]
    [InlineData("11.1", 1)]
    public async Task One_connection_that_closes_kills_the_running_guest(string version, int exitCode)
    {
        var (source, destination, uri) = await PausedAsync(version);

        await using var stranger = await Stranger.ConnectAsync(
            StrangerKinds.Finish, PortOf(uri), TargetOf(source.Options, Postcopy(preempt: false)), IPAddress.Loopback, Token);

        Assert.Equal(exitCode, await destination.WaitForExitAsync(Patience.Default, Token));
    }

    [Theory]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task Without_strangers_it_recovers(string version)
    {
        var (source, destination, uri) = await PausedAsync(version);

        await source.ExecuteAsync("migrate-set-parameters", new() { ["max-postcopy-bandwidth"] = 0 }, Token);
        await source.ResumeMigrationAsync(uri, Token);

        await ArrivedAsync(source, destination);
    }

    private async Task<(QemuProcess Source, QemuProcess Destination, string Uri)> PausedAsync(string version)
    {
        var settings = Postcopy(preempt: false);
        var source = await StartSourceAsync(Newest(version));
        await source.PrepareMigrationAsync(Slowly(settings, Slow / 4), Token);
        var (destination, uri) = await StartBareAsync(source.Options, settings);
        await source.StartMigrationAsync(uri, Token);
        await SwitchToPostcopyAsync(source, destination);
        await PauseAsync(source, destination);
        return (source, destination, uri);
    }
}
