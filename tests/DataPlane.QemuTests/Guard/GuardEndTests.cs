using DataPlane.QemuTests.Guard.Strangers;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Guard;

/// <summary>How a guarded migration ends when it does not arrive, and what is left behind when it does.</summary>
public sealed class GuardEndTests : GuardTest
{
    public static TheoryData<string> Precopies => new(
        from configuration in GuardConfiguration.All
        where configuration is { Postcopy: false, Channels: < 8 }
        select new TheoryDataRow<string>(configuration.ToString()));

    [Theory]
    [MemberData(nameof(Precopies))]
    public async Task When_QEMU_dies_the_source_is_told_at_once_and_keeps_its_guest(string configuration)
    {
        await using var pair = await StartGuardedAsync(GuardConfiguration.Parse(configuration));
        await pair.BeginAsync(Token);
        await pair.UnderWayAsync(Token);

        await pair.Destination.DisposeAsync();

        await pair.Source.WaitForMigrationAsync("failed", Token);
        var last = pair.Source.Console.Reports[^1];
        await pair.Source.Console.WaitForAsync(report => report.Pass >= last.Pass + 2, "the guest goes on at the source", Token);
    }

    [Theory]
    [MemberData(nameof(Precopies))]
    public async Task When_the_source_dies_QEMU_is_told_at_once(string configuration)
    {
        await using var pair = await StartGuardedAsync(GuardConfiguration.Parse(configuration));
        await pair.BeginAsync(Token);
        await pair.UnderWayAsync(Token);

        await pair.Source.DisposeAsync();

        // All versions end themselves when an incoming precopy breaks.
        Assert.Equal(1, await pair.Destination.WaitForExitAsync(TimeSpan.FromSeconds(20), Token));
    }

    [Theory]
    [MemberData(nameof(Precopies))]
    public async Task A_cancelled_migration_is_over_for_both(string configuration)
    {
        await using var pair = await StartGuardedAsync(GuardConfiguration.Parse(configuration));
        await pair.BeginAsync(Token);
        await pair.UnderWayAsync(Token);

        await pair.Source.ExecuteAsync("migrate_cancel", null, Token);

        await pair.Source.WaitForMigrationAsync("cancelled", Token);
        Assert.Equal(1, await pair.Destination.WaitForExitAsync(TimeSpan.FromSeconds(20), Token));
        Assert.Equal("running", await pair.Source.StatusAsync(Token));
    }

    [Fact]
    public async Task Interrupted_while_it_waits_the_guard_ends_and_QEMU_lives()
    {
        await using var pair = await StartGuardedAsync(GuardConfiguration.Richest[^1]);
        await pair.Crowd.ComeAsync([StrangerKinds.Silent], Token);

        pair.Guard.Signal(ChildProcess.Interrupt);

        Assert.Equal(130, await pair.Guard.WaitForExitAsync(Token));
        Assert.False(pair.Destination.HasExited);
    }
}
