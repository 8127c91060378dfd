using DataPlane.Admission;
using DataPlane.Guard;
using DataPlane.Tests.Admission;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>Before a QEMU that must hear the end of its preempt channel (7.2, or of unknown version): who may say it, and when.</summary>
public sealed class GuardPreemptTests
{
    private static readonly byte[] s_request = [0, 3, 0, 19, 0, 0, 0, 0, 0x01, 0x23, 0x40, 0, 0, 0, 0x10, 0, 6, .. "pc.ram"u8];
    private static readonly byte[] s_switchover = [0, 2, 0, 4, 0, 0, 0, 2];
    private static readonly byte[] s_page = [.. Opening.Record(0x1234000, Opening.PageFlag, "pc.ram"), .. new byte[4096]];
    private static readonly byte[] s_requestOwed = [0, 3, 0, 19, 0, 0, 0, 0, 0x01, 0x23, 0x50, 0, 0, 0, 0x10, 0, 6, .. "pc.ram"u8];
    private static readonly byte[] s_owed = [.. Opening.Record(0x1235000, Opening.PageFlag, "pc.ram"), .. new byte[4096]];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task An_end_before_main_has_ended_is_not_passed_on_and_the_true_channel_still_serves()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        (var source, var main, var preempt) = await SwitchAsync(scene);
        var early = scene.Knock();
        scene.Knock(Opening.End);
        await HeldAsync(scene, 1);

        main.Send(s_request);
        await source.ReceiveAsync(s_request.Length, Token);
        early.Send(s_page);

        Assert.Equal(s_page, await preempt.ReceiveAsync(s_page.Length, Token));
    }

    [Fact]
    public async Task When_main_has_ended_and_nothing_was_asked_for_an_end_is_passed_on_whoever_says_it()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        (var source, _, var preempt) = await SwitchAsync(scene);
        scene.Knock(Opening.End);
        scene.Knock(Opening.End);
        scene.Knock();
        await HeldAsync(scene, 2);

        source.Send(MainStreamEndTests.Bytes);

        Assert.Equal(Opening.End, await preempt.ReceiveAsync(Opening.End.Length, Token));
    }

    [Fact]
    public async Task A_request_whose_page_has_crossed_with_it_on_main_does_not_keep_the_end_back()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        (var source, var main, var preempt) = await SwitchAsync(scene);
        var early = scene.Knock();
        main.Send(s_request);
        await source.ReceiveAsync(s_request.Length, Token);

        source.Send(MainStreamEndTests.Bytes);
        early.Send(Opening.End);

        Assert.Equal(Opening.End, await preempt.ReceiveAsync(Opening.End.Length, Token));
    }

    [Fact]
    public async Task An_open_request_keeps_the_end_back_for_those_who_may_still_bring_its_page()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        (var source, var main, var preempt) = await SwitchAsync(scene);
        var early = scene.Knock();
        scene.Knock(Opening.End);
        await HeldAsync(scene, 1);
        main.Send(s_request);
        await source.ReceiveAsync(s_request.Length, Token);

        source.Send(MainStreamEndTests.Bytes);
        Assert.Equal(
            MainStreamEndTests.Bytes,
            (await main.ReceiveAsync(Opening.Main.Length + MainStreamEndTests.Bytes.Length, Token))[Opening.Main.Length..]);
        early.Send(s_page);

        Assert.Equal(s_page, await preempt.ReceiveAsync(s_page.Length, Token));
    }

    [Fact]
    public async Task But_not_for_ever()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true, undecided: TimeSpan.FromSeconds(1));
        (var source, var main, var preempt) = await SwitchAsync(scene);
        scene.Knock();
        scene.Knock(Opening.End);
        await HeldAsync(scene, 1);
        main.Send(s_request);
        await source.ReceiveAsync(s_request.Length, Token);

        source.Send(MainStreamEndTests.Bytes);

        Assert.Equal(Opening.End, await preempt.ReceiveAsync(Opening.End.Length, Token));
    }

    [Fact]
    public async Task A_page_that_a_source_owes_from_the_lost_link_is_held_until_QEMU_asks_for_it_again()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        (var lost, _, var old) = await SwitchAsync(scene);
        lost.Reset();
        await old.ReadToEndAsync(Token);
        await scene.StateAsync(GuardState.Paused);
        var source = scene.Knock(Opening.Recovery);
        var main = await scene.AcceptAsync();
        var preempt = await scene.AcceptAsync();
        scene.Knock(s_page);
        await HeldAsync(scene, 1);

        main.Send(s_request);
        await source.ReceiveAsync(s_request.Length, Token);

        Assert.Equal(s_page, await preempt.ReceiveAsync(s_page.Length, Token));
        Assert.Equal(0, scene.Guard.Snapshot().Refused[RefusalReason.BadPreempt]);
    }

    [Fact]
    public async Task A_page_that_a_source_owes_from_a_link_whose_loss_nobody_here_has_noticed_waits_for_the_recovery()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        (var lost, var main, var preempt) = await SwitchAsync(scene);
        main.Send(s_request);
        await lost.ReceiveAsync(s_request.Length, Token);
        scene.Knock(s_page);
        Assert.Equal(s_page, await preempt.ReceiveAsync(s_page.Length, Token));
        scene.Knock(s_owed);
        await HeldAsync(scene, 1);
        var source = scene.Knock(Opening.Recovery);
        await HeldAsync(scene, 2);

        lost.Reset();
        main = await scene.AcceptAsync();
        preempt = await scene.AcceptAsync();
        main.Send(s_requestOwed);
        await source.ReceiveAsync(s_requestOwed.Length, Token);

        Assert.Equal(s_owed, await preempt.ReceiveAsync(s_owed.Length, Token));
        Assert.Equal(0, scene.Guard.Snapshot().Refused[RefusalReason.LostCandidacy]);
        Assert.Equal(0, scene.Guard.Snapshot().Refused[RefusalReason.BadPreempt]);
    }

    /// <summary>It waits for the end with one timer and the preempt channel's silence with its own, whatever the source says.</summary>
    [Fact]
    public async Task A_source_that_ends_its_stream_again_and_again_costs_one_timer()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        (var source, var main, _) = await SwitchAsync(scene);
        await main.ReceiveAsync(Opening.Main.Length, Token);
        var before = scene.Time.Timers;

        for (var i = 0; i < 400; i++)
        {
            source.Send(MainStreamEndTests.Bytes);
            await main.ReceiveAsync(MainStreamEndTests.Bytes.Length, Token);
        }

        Assert.InRange(scene.Time.Timers - before, 0, 3);
    }

    private static async Task<(ScriptedPeer Source, ScriptedPeer Main, ScriptedPeer Preempt)> SwitchAsync(GuardScene scene)
    {
        var source = scene.Knock(Opening.Main);
        var main = await scene.AcceptAsync();
        var preempt = await scene.AcceptAsync();
        main.Send(s_switchover);
        await source.ReceiveAsync(s_switchover.Length, Token);
        await scene.StateAsync(GuardState.Postcopy);
        return (source, main, preempt);
    }

    private static Task HeldAsync(GuardScene scene, int count) => Eventually.TrueAsync(
        () => scene.Guard.Snapshot().Undecided - scene.Guard.Snapshot().Candidates >= count, $"{count} are held", Token);
}
