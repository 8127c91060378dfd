using DataPlane.QemuTests.Guard.Strangers;

namespace DataPlane.QemuTests.Guard;

/// <summary>A link lost in postcopy: the guest runs behind the guard, and anybody can knock until the source is back.</summary>
public sealed class GuardPausedTests : GuardTest
{
    public static TheoryData<string> Configurations => new(
        from configuration in GuardConfiguration.All
        where configuration.Postcopy
        select new TheoryDataRow<string>(configuration.ToString()));

    [Theory]
    [MemberData(nameof(Configurations))]
    public async Task Strangers_between_the_loss_and_the_recovery_never_touch_the_guest(string configuration)
    {
        await using var pair = await StartPausedAsync(configuration);
        await pair.Guard.WaitForStatusAsync(status => status.GetProperty("state").GetString() == "paused", "paused", Token);

        await pair.Crowd.ComeAsync(StrangerKinds.WhilePaused, Token);
        Assert.False(pair.Destination.HasExited);
        await pair.HurryAsync(Token);
        await pair.Source.ResumeMigrationAsync(pair.Guard.Uri, Token);

        await ArrivedAsync(pair.Source, pair.Destination);
    }

    public static TheoryData<string> WithPreempt => new(
        from configuration in GuardConfiguration.All
        where configuration.Preempt
        select new TheoryDataRow<string>(configuration.ToString()));

    [Theory]
    [MemberData(nameof(WithPreempt))]
    public async Task Losses_right_after_a_recovery_cost_no_guest(string configuration)
    {
        await using var pair = await StartPausedAsync(configuration);

        await using (await pair.Destination.SlowPreemptAsync(Token))
        {
            for (var recoveries = 0; recoveries < 5; recoveries++)
            {
                await RecoverAndPauseAsync(pair);
            }
        }

        await pair.HurryAsync(Token);
        await pair.Source.ResumeMigrationAsync(pair.Guard.Uri, Token);

        await ArrivedAsync(pair.Source, pair.Destination);
    }

    [Theory]
    [MemberData(nameof(Configurations))]
    public async Task It_recovers_twice(string configuration)
    {
        await using var pair = await StartPausedAsync(configuration);

        await RecoverAndPauseAsync(pair);
        await pair.HurryAsync(Token);
        await pair.Source.ResumeMigrationAsync(pair.Guard.Uri, Token);

        await ArrivedAsync(pair.Source, pair.Destination);
    }

    /// <summary>A guarded pair whose guest runs at the destination, and whose link is lost.</summary>
    private async Task<GuardedPair> StartPausedAsync(string configuration)
    {
        var pair = await StartGuardedAsync(GuardConfiguration.Parse(configuration));
        try
        {
            await pair.BeginAsync(Token);
            await SwitchToPostcopyAsync(pair.Source, pair.Destination);
            await PauseAsync(pair.Source, pair.Destination);
            return pair;
        }
        catch
        {
            await pair.DisposeAsync();
            throw;
        }
    }

    /// <summary>The link is there again on both sides, and is lost again.</summary>
    private async Task RecoverAndPauseAsync(GuardedPair pair)
    {
        var before = pair.Destination.EventCount;
        await pair.Source.ResumeMigrationAsync(pair.Guard.Uri, Token);
        await pair.Source.WaitForStateAsync("postcopy-active", Token);
        await pair.Destination.WaitForStateAsync("postcopy-active", Token, before);
        await PauseAsync(pair.Source, pair.Destination);
    }
}
