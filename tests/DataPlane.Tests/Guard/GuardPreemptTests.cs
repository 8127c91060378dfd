using DataPlane.Guard;
using DataPlane.Tests.Admission;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>Before a QEMU that must hear the end of its preempt channel (7.2, or of unknown version): who may say it, and when.</summary>
public sealed class GuardPreemptTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_end_before_main_has_ended_is_not_passed_on_and_the_true_channel_still_serves()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var ends = await scene.SwitchAsync();
        var early = scene.Knock();
        scene.Knock(Opening.End);
        await HeldAsync(scene, 1);

        await ends.AskAsync(UrgentPage.First);
        early.Send(UrgentPage.First.Record);

        await ends.GetsAsync(UrgentPage.First.Record);
    }

    [Fact]
    public async Task When_main_has_ended_and_nothing_was_asked_for_an_end_is_passed_on_whoever_says_it()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var ends = await scene.SwitchAsync();
        scene.Knock(Opening.End);
        scene.Knock(Opening.End);
        scene.Knock();
        await HeldAsync(scene, 2);

        ends.Source.Send(MainStreamEndTests.Bytes);

        await ends.GetsAsync(Opening.End);
    }

    [Fact]
    public async Task A_request_whose_page_has_crossed_with_it_on_main_does_not_keep_the_end_back()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var ends = await scene.SwitchAsync();
        var early = scene.Knock();
        await ends.AskAsync(UrgentPage.First);

        ends.Source.Send(MainStreamEndTests.Bytes);
        early.Send(Opening.End);

        await ends.GetsAsync(Opening.End);
    }

    [Fact]
    public async Task An_open_request_keeps_the_end_back_for_those_who_may_still_bring_its_page()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var ends = await scene.SwitchAsync();
        var early = scene.Knock();
        scene.Knock(Opening.End);
        await HeldAsync(scene, 1);
        await ends.AskAsync(UrgentPage.First);

        ends.Source.Send(MainStreamEndTests.Bytes);
        Assert.Equal(MainStreamEndTests.Bytes, await ends.Main.ReceiveAsync(MainStreamEndTests.Bytes.Length, Token));
        early.Send(UrgentPage.First.Record);

        await ends.GetsAsync(UrgentPage.First.Record);
    }

    [Fact]
    public async Task But_not_for_ever()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true, undecided: TimeSpan.FromSeconds(1));
        var ends = await scene.SwitchAsync();
        scene.Knock();
        scene.Knock(Opening.End);
        await HeldAsync(scene, 1);
        await ends.AskAsync(UrgentPage.First);

        ends.Source.Send(MainStreamEndTests.Bytes);

        await ends.GetsAsync(Opening.End);
    }

    [Fact]
    public async Task A_page_that_a_source_owes_from_the_lost_link_is_held_until_QEMU_asks_for_it_again()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var lost = await scene.SwitchAsync();
        lost.Lose();
        await lost.Preempt.ReadToEndAsync(Token);
        await scene.StateAsync(GuardState.Paused);
        var ends = await scene.RecoverAsync();
        scene.Knock(UrgentPage.First.Record);
        await HeldAsync(scene, 1);

        await ends.AskAsync(UrgentPage.First);

        await ends.GetsAsync(UrgentPage.First.Record);
        Assert.Equal(0, scene.Guard.Snapshot().Refused[RefusalReason.BadPreempt]);
    }

    [Fact]
    public async Task A_page_that_a_source_owes_from_a_link_whose_loss_nobody_here_has_noticed_waits_for_the_recovery()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var lost = await scene.SwitchAsync();
        await lost.AskAsync(UrgentPage.First);
        scene.Knock(UrgentPage.First.Record);
        await lost.GetsAsync(UrgentPage.First.Record);
        scene.Knock(UrgentPage.Second.Record);
        await HeldAsync(scene, 1);
        var source = scene.Knock(Opening.Recovery);
        await HeldAsync(scene, 2);

        lost.Lose();
        var ends = new PostcopyEnds(source, await scene.AcceptAsync(), await scene.AcceptAsync());
        await ends.AskAsync(UrgentPage.Second);

        await ends.GetsAsync(UrgentPage.Second.Record);
        Assert.Equal(0, scene.Guard.Snapshot().Refused[RefusalReason.LostCandidacy]);
        Assert.Equal(0, scene.Guard.Snapshot().Refused[RefusalReason.BadPreempt]);
    }

    /// <summary>It waits for the end with one timer and the preempt channel's silence with its own, whatever the source says.</summary>
    [Fact]
    public async Task A_source_that_ends_its_stream_again_and_again_costs_one_timer()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var ends = await scene.SwitchAsync();
        var before = scene.Time.Timers;

        for (var i = 0; i < 400; i++)
        {
            ends.Source.Send(MainStreamEndTests.Bytes);
            await ends.Main.ReceiveAsync(MainStreamEndTests.Bytes.Length, Token);
        }

        Assert.InRange(scene.Time.Timers - before, 0, 3);
    }

    private static Task HeldAsync(GuardScene scene, int count) => Eventually.TrueAsync(
        () => scene.Guard.Snapshot().Undecided - scene.Guard.Snapshot().Candidates >= count, $"{count} are held", Token);
}
