using System.Globalization;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Guard;

/// <summary>Ten thousand connections that say nothing, before the source comes.</summary>
public sealed class GuardCrowdTests : GuardTest
{
    private const int Crowd = 10_000;

    // One crowd at a time: two of them, with both ends of every connection here, can be more than a machine allows in all.
    private static readonly SemaphoreSlim s_one = new(1);

    public static TheoryData<string> Richest => Names(GuardConfiguration.Richest);

    public static TheoryData<string> Rest => Names(GuardConfiguration.All.Except(GuardConfiguration.Richest));

    [Theory]
    [MemberData(nameof(Richest))]
    public Task Ten_thousand_silent_connections_are_held(string configuration) => MovesThroughAsync(configuration, hold: true);

    [Theory(Explicit = true)]
    [MemberData(nameof(Richest))]
    public Task Ten_thousand_silent_connections_are_more_than_the_guard_may_hold(string configuration) =>
        MovesThroughAsync(configuration, hold: false);

    [Theory(Explicit = true)]
    [MemberData(nameof(Rest))]
    public Task Ten_thousand_silent_connections_are_held_in_every_other_migration(string configuration) =>
        MovesThroughAsync(configuration, hold: true);

    private static TheoryData<string> Names(IEnumerable<GuardConfiguration> configurations) =>
        new(configurations.Select(configuration => new TheoryDataRow<string>(configuration.ToString())));

    private async Task MovesThroughAsync(string configuration, bool hold)
    {
        await s_one.WaitAsync(Token);
        try
        {
            await MovesThroughAloneAsync(configuration, hold);
        }
        finally
        {
            s_one.Release();
        }
    }

    private async Task MovesThroughAloneAsync(string configuration, bool hold)
    {
        if (!await DescriptorLimit.RaiseAsync(Crowd + 2_000, Token))
        {
            const string Reason = "not so many descriptors may be open here";
            Assert.SkipUnless(Environment.GetEnvironmentVariable("CI") == "true", Reason);
            Assert.Fail(Reason);
        }

        // Held for longer than the test takes, or evicted as they come.
        var limit = (hold ? Crowd + 1_000 : 500).ToString(CultureInfo.InvariantCulture);
        await using var pair = await StartGuardedAsync(
            GuardConfiguration.Parse(configuration), "--max-undecided", limit, "--undecided-timeout", "10m");
        await pair.Crowd.ComeSilentlyAsync(Crowd, addresses: 250, Token);
        if (hold)
        {
            await pair.Guard.WaitForStatusAsync(
                status => status.GetProperty("undecided").GetInt32() == Crowd, "ten thousand undecided", Token);
        }

        await pair.BeginAsync(Token);
        await pair.UnderWayAsync(Token);
        if (pair.Configuration.Postcopy)
        {
            await SwitchToPostcopyAsync(pair.Source, pair.Destination);
        }

        await pair.HurryAsync(Token);

        await ArrivedAsync(pair.Source, pair.Destination);
    }
}
