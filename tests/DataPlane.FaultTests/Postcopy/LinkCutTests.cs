using DataPlane.Tests.Postcopy;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.FaultTests.Postcopy;

/// <summary>
/// A live guest moves by postcopy while the link is cut at any moment, any way and again: nothing is lost, it never runs twice, nobody
/// hangs, and whatever can be recovered is.
/// </summary>
public sealed class LinkCutTests
{
    /// <summary>What the runtime opens once for all is open from here on. Nothing is cut.</summary>
    private static readonly Lazy<Task> s_warm = new(static async () =>
    {
        using var move = await CutMove.RunAsync(new CutCase(0, Preempt: true, Channels: 2, Shared: false, []));
        Assert.True(move.Source.Succeeded && move.Destination.Succeeded, move.Story);
        CheckDestination(move);
    });

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 5)];

    public static TheoryData<int> ManySeeds => [.. Enumerable.Range(6, 50)];

    [Theory]
    [MemberData(nameof(Seeds))]
    public Task A_guest_survives_every_cut(int seed) => CheckAsync(seed);

    [Theory(Explicit = true)]
    [MemberData(nameof(ManySeeds))]
    public Task A_guest_survives_every_cut_in_a_long_run(int seed) => CheckAsync(seed);

    private static async Task CheckAsync(int seed)
    {
        LiveGuest.RequireUserfaultfd();
        await s_warm.Value;
        var descriptors = Descriptors.Targets().Count;
        using (var move = await CutMove.RunAsync(CutCase.Choose(seed)))
        {
            TestContext.Current.TestOutputHelper?.WriteLine(move.Story);
            CheckOwner(move);
            CheckSource(move);
            CheckDestination(move);
            Assert.True(!move.Leaks.Any(), $"{string.Join("\n", move.Leaks)}\n{move.Story}");
        }

        await Eventually.TrueAsync(
            () => Descriptors.Targets().Count <= descriptors,
            $"seed {seed}: no more than {descriptors} descriptors", TestContext.Current.CancellationToken);
        await Eventually.TrueAsync(
            () => !OwnershipTests.Threads().Any(), $"seed {seed}: all threads ended", TestContext.Current.CancellationToken);
    }

    private static void CheckOwner(CutMove move)
    {
        Assert.False(move.Guest.IsRunning && move.Started, $"it runs twice\n{move.Story}");
        Assert.True(move.Guest.Resumed <= 1, $"resumed {move.Guest.Resumed} times\n{move.Story}");
        Assert.True(
            move.Guest.IsRunning || move.Started || move.Source.IsUnknown,
            $"it runs nowhere, and nobody says so\n{move.Story}");
    }

    private static void CheckSource(CutMove move)
    {
        var source = move.Source;
        if (source.Succeeded || source.Failure!.Reason == FailureReason.GuestAtDestination)
        {
            Assert.True(move.Started && move.Destination.Succeeded, $"the source says it is there\n{move.Story}");
        }

        // Only somebody who gives up ends a source whose destination has not: what can be recovered is.
        Assert.True(
            source.Succeeded || move.Guest.IsRunning || source.IsUnknown || move.Destination.Succeeded,
            $"the source gave up\n{move.Story}");
    }

    private static void CheckDestination(CutMove move)
    {
        // Once the guest has started nothing but its whole memory ends it.
        Assert.True(move.Destination.Succeeded == move.Started, $"started, and not all came\n{move.Story}");
        Assert.True(move.Started == move.Incoming.Has("complete"), move.Story);
        Assert.True(!move.Started || !move.Incoming.Has("abandon"), $"abandoned\n{move.Story}");
        if (move.Started)
        {
            Assert.True(move.Incoming.Damage.IsEmpty, $"{string.Join(", ", move.Incoming.Damage)}\n{move.Story}");
            move.Incoming.AssertWhole();
            Assert.Equal(move.Guest.Devices, move.Incoming.Devices!.Unwrap("test").ToArray());
        }
        else
        {
            Assert.True(move.Destination.Failure is not null || move.Destination.WasCancelled, move.Story);
        }
    }
}
