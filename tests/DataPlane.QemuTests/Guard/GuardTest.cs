using DataPlane.QemuTests.Guard.Strangers;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Guard;

/// <summary>What the tests of `dataplane guard` share: a guarded migration from beginning to end, with strangers at every turn.</summary>
public abstract class GuardTest : MigrationTest
{
    // A monitor that stands still does so for ever, or until a deadline of the guard's (30 s) has thrown the cause out.
    private protected static readonly TimeSpan LongestAnswer = TimeSpan.FromSeconds(8);
    private static readonly TimeSpan s_refusal = TimeSpan.FromSeconds(10);

    private protected Task<GuardedPair> StartGuardedAsync(GuardConfiguration configuration, params string[] extra) =>
        StartGuardedAsync(configuration, new GuardOptions { Extra = extra });

    /// <param name="configuration">What migrates.</param>
    /// <param name="options">Of the guard.</param>
    /// <param name="guard">One that runs already, for the monitor at the same path; null starts one.</param>
    private protected async Task<GuardedPair> StartGuardedAsync(
        GuardConfiguration configuration, GuardOptions options, GuardProcess? guard = null)
    {
        var machine = Machine(configuration.Version, configuration.Machine);
        var settings = SettingsOf(configuration);
        var source = await StartSourceAsync(machine);
        await source.PrepareMigrationAsync(Slowly(settings, Slow / 4), Token);
        var destination = await StartAsync(machine.IncomingIn(machine.Version) with { SecondMonitor = true }, "destination");
        await destination.PrepareMigrationAsync(settings, Token);
        var monitor = destination.OfferSecondMonitor();
        if (guard is null)
        {
            guard = await StartAsync(options with { Monitor = monitor });
        }
        else
        {
            await guard.WaitUntilItListensAsync(Token);
        }

        return new GuardedPair(
            configuration, source, destination, guard, new StrangerCrowd(PortOf(guard.Uri), TargetOf(machine, settings)));
    }

    /// <summary>
    /// A migration that is disturbed before the source comes, while memory goes over, and after the guest has gone: it arrives all the
    /// same, QEMU's monitor answers all the time, and whoever has said something false is gone.
    /// </summary>
    /// <param name="configuration">What migrates.</param>
    /// <param name="kinds">Who comes, each at every moment.</param>
    /// <param name="options">Of the guard.</param>
    /// <param name="silent">Connections that say nothing and come before all of them.</param>
    private protected async Task MovesAsync(
        GuardConfiguration configuration, IReadOnlyList<StrangerKind> kinds, GuardOptions? options = null, int silent = 0)
    {
        await using var pair = await StartGuardedAsync(configuration, options ?? new GuardOptions());
        await pair.Crowd.ComeSilentlyAsync(silent, addresses: 50, Token);
        using var arrived = new CancellationTokenSource();
        var watch = MonitorProbe.WatchAsync(pair.Destination, arrived.Token);
        try
        {
            await pair.Crowd.ComeAsync(kinds.Where(kind => StrangerKinds.BeforeTheSource.Contains(kind)), Token);
            await pair.BeginAsync(Token);
            await pair.UnderWayAsync(Token);
            await pair.Crowd.ComeAsync(kinds, Token);
            if (configuration.Postcopy)
            {
                await SwitchToPostcopyAsync(pair.Source, pair.Destination);
                await pair.Crowd.ComeAsync(kinds, Token);
            }

            Assert.Empty(await pair.Crowd.StillInAsync(s_refusal));
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

    private protected static MigrationSettings SettingsOf(GuardConfiguration configuration) => configuration.Postcopy
        ? Postcopy(configuration.Preempt, configuration.Channels)
        : new MigrationSettings { Channels = configuration.Channels, ReturnPath = configuration.Channels == 2 };
}
