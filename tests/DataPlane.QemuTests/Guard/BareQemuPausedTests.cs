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

    /// <summary>
    /// Its preempt thread is woken by each recovery, and reads a channel that is not there where the link is lost before the thread runs.
    /// Here it runs late, by force: without that, one loss in 40 (10.0) to 190 (11.1) is early enough.
    /// </summary>
    [Theory]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task A_link_that_is_lost_right_after_a_recovery_kills_the_running_guest(string version)
    {
        var (source, destination, uri) = await PausedAsync(version, preempt: true);
        await using var slow = await destination.SlowPreemptAsync(Token);
        var exited = destination.WaitForExitAsync(2 * Patience.Default, Token);

        var losing = LoseAgainAndAgainAsync(source, destination, uri);

        // The source may wait for ever for a destination that is gone, or the monitor of that may tell first.
        await Task.WhenAny(exited, losing);
        Assert.False(losing.IsCompletedSuccessfully);
        Assert.Equal(SegmentationFault, await exited);
    }

    private static async Task LoseAgainAndAgainAsync(QemuProcess source, QemuProcess destination, string uri)
    {
        for (var recoveries = 0; recoveries < 50; recoveries++)
        {
            var before = destination.EventCount;
            await source.ResumeMigrationAsync(uri, Token);
            await source.WaitForStateAsync("postcopy-active", Token);
            await destination.WaitForStateAsync("postcopy-active", Token, before);
            await PauseAsync(source, destination);
        }
    }

    private async Task<(QemuProcess Source, QemuProcess Destination, string Uri)> PausedAsync(string version, bool preempt = false)
    {
        var settings = Postcopy(preempt);
        var source = await StartSourceAsync(Newest(version));
        await source.PrepareMigrationAsync(Slowly(settings, Slow / 4), Token);
        var (destination, uri) = await StartBareAsync(source.Options, settings);
        await source.StartMigrationAsync(uri, Token);
        await SwitchToPostcopyAsync(source, destination);
        await PauseAsync(source, destination);
        return (source, destination, uri);
    }
}
