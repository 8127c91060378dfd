using System.Diagnostics;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>The end of a migration whose guest has run here for a while.</summary>
public sealed class LiveEndTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_source_that_does_not_close_its_channels_delays_neither_the_guest_nor_the_end_of_the_count()
    {
        var progress = new LastProgress();
        var options = new MigrationDestinationOptions { Postcopy = true, CloseTimeout = TimeSpan.FromMinutes(5) };
        var clock = Stopwatch.StartNew();
        await using var source = new ScriptedSource(options, progress: progress);
        using var main = await source.SwitchAsync();
        main.Send(source.Part(0, 1, 2, 3)).Send(source.End());
        await ScriptedSource.ExpectShutAsync(main);

        await Eventually.TrueAsync(
            () => source.Guest.Has("complete") && progress.Last is { Phase: MigrationPhase.Completed }, "the guest is complete", Token);
        var complete = clock.Elapsed;
        Assert.False(source.Receiving.IsCompleted); // it still reads main to its end
        main.Finish();

        var report = await source.Receiving.WaitAsync(TimeSpan.FromMinutes(1), Token);
        Assert.InRange(report.Duration, TimeSpan.Zero, complete);
        Assert.InRange(report.Phases.Aggregate(TimeSpan.Zero, static (sum, phase) => sum + phase.Duration), TimeSpan.Zero, complete);
    }
}
