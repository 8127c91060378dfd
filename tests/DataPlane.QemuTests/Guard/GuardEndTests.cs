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

    public static TheoryData<string> Richest =>
        new(GuardConfiguration.Richest.Select(configuration => new TheoryDataRow<string>(configuration.ToString())));

    [Theory(Explicit = true)]
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
        Assert.Equal(1, await pair.Guard.WaitForExitAsync(Token));
    }

    [Theory(Explicit = true)]
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

    [Theory(Explicit = true)]
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

    [Fact(Explicit = true)]
    public async Task Told_to_stop_while_it_waits_the_guard_ends_and_QEMU_lives()
    {
        await using var pair = await StartGuardedAsync(GuardConfiguration.Richest[^1]);
        await pair.Crowd.ComeAsync([StrangerKinds.Silent], Token);

        pair.Guard.Signal(ChildProcess.Terminate);

        Assert.Equal(0, await pair.Guard.WaitForExitAsync(Token));
        Assert.Equal("inmigrate", await pair.Destination.StatusAsync(Token));
    }

    [Theory(Explicit = true)]
    [MemberData(nameof(Richest))]
    public async Task Nothing_of_a_finished_migration_stays_behind(string configuration)
    {
        await using var pair = await StartGuardedAsync(GuardConfiguration.Parse(configuration), new GuardOptions { AsService = true });
        // What the program opens once and keeps, it has opened when it has answered.
        await pair.Guard.StatusAsync(Token);
        var before = pair.Guard.Descriptors;
        await pair.Crowd.ComeAsync(StrangerKinds.BeforeTheSource, Token);
        await pair.BeginAsync(Token);
        await pair.UnderWayAsync(Token);
        if (pair.Configuration.Postcopy)
            await SwitchToPostcopyAsync(pair.Source, pair.Destination);
        await pair.HurryAsync(Token);

        await ArrivedAsync(pair.Source, pair.Destination);

        await pair.Guard.WaitForStatusAsync(status => status.GetProperty("completed").GetInt32() == 1, "the migration is counted", Token);
        Assert.InRange(await pair.Guard.FewestDescriptorsAsync(before, Token), 0, before);
    }
}
