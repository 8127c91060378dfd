using DataPlane.Migration.Custody;
using DataPlane.TestSupport;
using Xunit;
using static DataPlane.GuestOwner;
using static DataPlane.Migration.Custody.DestinationEvent;
using static DataPlane.Migration.Custody.DestinationVerdict;

namespace DataPlane.Tests.Migration;

/// <summary>A test for each cell of the table of <see cref="DestinationCustody"/>.</summary>
public sealed class DestinationCustodyTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(Cancelled, LetGo, Source)]
    [InlineData(CommitBegins, GoOn, Unknown)]
    [InlineData(FetchPromised, GoOn, Unknown)]
    [InlineData(TellingBegins, GoOn, Unknown)]
    [InlineData(LostBeforeProof, GoOn, Source)]
    [InlineData(SourceCameAgain, GoOn, Source)]
    [InlineData(Failed, LetGo, Source)]
    internal void Up_to_the_decision_the_guest_is_its_sources(DestinationEvent what, DestinationVerdict verdict, GuestOwner owner) =>
        Check([], what, verdict, owner);

    [Theory]
    [InlineData(Cancelled, LetGo, Unknown)]
    [InlineData(CommitBegins, GoOn, Unknown)]
    [InlineData(LostBeforeProof, GoOn, Unknown)]
    [InlineData(SourceCameAgain, GoOn, Unknown)]
    [InlineData(Failed, LetGo, Unknown)]
    internal void A_guest_that_a_source_of_ours_has_given_away_and_that_is_not_here_yet_runs_nowhere(
        DestinationEvent what, DestinationVerdict verdict, GuestOwner owner) => Check([FetchPromised], what, verdict, owner);

    [Fact]
    public void A_fetched_guest_is_ours_once_the_source_has_been_told()
    {
        Check([FetchPromised, CommitBegins], SourceTold, GoOn, Destination);
        Check([FetchPromised, CommitBegins], Failed, LetGo, Unknown);
    }

    [Theory]
    [InlineData(Cancelled, GoOn, Unknown)]
    [InlineData(SourceTold, GoOn, Destination)]
    [InlineData(SourceGone, LetGo, Unknown)]
    [InlineData(LostBeforeProof, GoOn, Unknown)]
    [InlineData(SourceCameAgain, GoOn, Unknown)]
    [InlineData(Failed, LetGo, Source)]
    internal void A_host_that_fails_to_commit_gives_the_guest_back(
        DestinationEvent what, DestinationVerdict verdict, GuestOwner owner) => Check([CommitBegins], what, verdict, owner);

    [Theory]
    [InlineData(Cancelled, GoOn, Unknown)]
    [InlineData(SourceTold, GoOn, Destination)]
    [InlineData(SourceGone, LetGo, Unknown)]
    [InlineData(LostBeforeProof, GoOn, Unknown)]
    [InlineData(SourceCameAgain, GoOn, Unknown)]
    [InlineData(Failed, LetGo, Unknown)]
    internal void Once_the_source_may_have_been_told_nobody_here_can_know(
        DestinationEvent what, DestinationVerdict verdict, GuestOwner owner) => Check([TellingBegins], what, verdict, owner);

    [Theory]
    [InlineData(Cancelled, GoOn, Destination)]
    [InlineData(LostBeforeProof, GoOn, Unknown)]
    [InlineData(SourceCameAgain, GoOn, Destination)]
    [InlineData(Failed, Keep, Destination)]
    internal void A_guest_that_is_ours_stays(DestinationEvent what, DestinationVerdict verdict, GuestOwner owner)
    {
        Check([TellingBegins, SourceTold], what, verdict, owner);
        Check([CommitBegins, SourceTold], what, verdict, owner);
    }

    [Theory]
    [InlineData(Cancelled, GoOn, Unknown)]
    [InlineData(LostBeforeProof, GoOn, Unknown)]
    [InlineData(SourceCameAgain, GoOn, Destination)]
    [InlineData(Failed, Keep, Unknown)]
    internal void A_source_that_may_not_have_heard_it_may_run_the_guest_again(
        DestinationEvent what, DestinationVerdict verdict, GuestOwner owner) =>
        Check([TellingBegins, SourceTold, LostBeforeProof], what, verdict, owner);

    [Fact]
    public void A_link_that_is_lost_while_the_source_is_told_proves_nothing_afterwards()
    {
        Check([TellingBegins, LostBeforeProof], SourceTold, GoOn, Unknown);
        Check([TellingBegins, LostBeforeProof, SourceCameAgain], SourceTold, GoOn, Destination);
        Check([LostBeforeProof, CommitBegins], SourceTold, GoOn, Destination);
    }

    [Theory]
    [InlineData(Cancelled, CommitBegins)]
    [InlineData(Cancelled, TellingBegins)]
    [InlineData(Failed, CommitBegins)]
    [InlineData(Failed, TellingBegins)]
    internal void A_guest_that_was_given_up_is_not_taken_any_more(DestinationEvent before, DestinationEvent what) =>
        Check([before], what, LetGo, Source);

    [Fact]
    public void A_background_snapshot_has_its_guest_at_the_source_whatever_arrives()
    {
        using var guest = new TestIncomingGuest();
        var custody = new DestinationCustody(guest) { IsSnapshot = true };
        custody.On(CommitBegins);
        Assert.Equal(Source, custody.Owner);
        custody.On(SourceTold);
        Assert.Equal(Source, custody.Owner);
    }

    [Fact]
    public void A_cell_that_no_caller_reaches_throws()
    {
        using var guest = new TestIncomingGuest();
        var custody = new DestinationCustody(guest);
        Assert.All([SourceTold, SourceGone], what => Assert.Throws<InvalidOperationException>(() => custody.On(what)));
        custody.On(CommitBegins);
        Assert.All([CommitBegins, TellingBegins], what => Assert.Throws<InvalidOperationException>(() => custody.On(what)));
        custody.On(SourceTold);
        Assert.All(
            [CommitBegins, TellingBegins, SourceTold, SourceGone],
            what => Assert.Throws<InvalidOperationException>(() => custody.On(what)));
    }

    [Theory]
    [InlineData(CommitBegins)]
    [InlineData(TellingBegins)]
    internal async Task Cancelling_and_taking_at_the_same_moment_have_one_winner(DestinationEvent takes)
    {
        using var guest = new TestIncomingGuest();
        for (var i = 0; i < 200; i++)
        {
            var custody = new DestinationCustody(guest);
            using var start = new Barrier(2);
            var cancelling = Task.Run(() => { start.SignalAndWait(); return custody.On(Cancelled); }, Token);
            var taking = Task.Run(() => { start.SignalAndWait(); return custody.On(takes); }, Token);
            Assert.Equal(await cancelling, await taking);
        }
    }

    [Theory]
    [InlineData(new DestinationEvent[0], true)]
    [InlineData(new[] { CommitBegins }, true)]
    [InlineData(new[] { CommitBegins, SourceGone }, true)]
    [InlineData(new[] { TellingBegins, SourceGone }, true)]
    [InlineData(new[] { CommitBegins, SourceTold }, false)]
    [InlineData(new[] { TellingBegins, SourceTold, LostBeforeProof }, false)]
    internal async Task A_host_lets_go_of_a_guest_only_where_it_is_not_ours(DestinationEvent[] before, bool abandoned)
    {
        using var guest = new TestIncomingGuest();
        var custody = new DestinationCustody(guest);
        await custody.CreateMemoryAsync(new IncomingMachine { Name = "pc" }, [new IncomingBlock("ram", 4096)], Token);
        foreach (var earlier in before)
        {
            custody.On(earlier);
        }

        await custody.EndAsync(new IOException("lost"));

        Assert.Equal(abandoned, guest.Abandoned is not null);
    }

    [Fact]
    public async Task A_host_that_has_made_nothing_is_not_told_to_let_go()
    {
        using var guest = new TestIncomingGuest();
        await new DestinationCustody(guest).EndAsync(new IOException("lost"));
        Assert.Null(guest.Abandoned);
    }

    [Fact]
    public async Task Only_a_guest_that_is_ours_is_started()
    {
        using var guest = new TestIncomingGuest();
        var custody = new DestinationCustody(guest);
        await Assert.ThrowsAsync<InvalidOperationException>(custody.StartAsync);
        custody.On(CommitBegins);
        await Assert.ThrowsAsync<InvalidOperationException>(custody.StartAsync);
        Assert.False(guest.Started);
        custody.On(SourceTold);

        await custody.StartAsync();

        Assert.True(guest.Started);
    }

    private static void Check(DestinationEvent[] before, DestinationEvent what, DestinationVerdict verdict, GuestOwner owner)
    {
        using var guest = new TestIncomingGuest();
        var custody = new DestinationCustody(guest);
        foreach (var earlier in before)
        {
            custody.On(earlier);
        }

        Assert.Equal(verdict, custody.On(what));
        Assert.Equal(owner, custody.Owner);
    }
}
