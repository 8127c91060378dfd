using System.Net.Sockets;
using DataPlane.Guard;
using DataPlane.Tests.Admission;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>A QEMU that hears of a lost link before its preempt thread reads the preempt channel dies of it.</summary>
public sealed class GuardLossTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task QEMU_hears_of_a_loss_when_it_has_read_from_its_preempt_channel(bool reset)
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var ends = await scene.SwitchAsync();

        ends.Lose(reset);

        Assert.False(ends.Main.Socket.Poll(TimeSpan.FromMilliseconds(300), SelectMode.SelectRead));
        Assert.Equal(GuardState.Postcopy, scene.Guard.Snapshot().State);
        await ends.GetsAsync([0]);
        Assert.Empty((await ends.Main.ReadToEndAsync(Token)).Bytes);
        ends.Main.Socket.Dispose();
        Assert.Empty((await ends.Preempt.ReadToEndAsync(Token)).Bytes);
        await scene.StateAsync(GuardState.Paused);
    }

    [Fact]
    public async Task A_page_that_QEMU_has_read_shows_it_too_and_nothing_is_added()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var ends = await scene.SwitchAsync();
        await ends.AskAsync(UrgentPage.First);
        scene.Knock(UrgentPage.First.Record);
        await ends.GetsAsync(UrgentPage.First.Record);

        ends.Lose(reset: true);

        Assert.Empty((await ends.Main.ReadToEndAsync(Token)).Bytes);
        Assert.Empty((await ends.Preempt.ReadToEndAsync(Token)).Bytes);
    }

    [Fact]
    public async Task Nobody_joins_a_channel_whose_link_is_lost_and_a_page_that_comes_then_is_of_the_next_link()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var lost = await scene.SwitchAsync();
        await lost.AskAsync(UrgentPage.First);

        lost.Lose(reset: false);
        Assert.True(lost.Preempt.Socket.Poll(TimeSpan.FromMinutes(1), SelectMode.SelectRead));
        scene.Knock(UrgentPage.First.Record);
        var source = scene.Knock(Opening.Recovery);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot() is { Undecided: 2, Candidates: 0 }, "both are held", Token);

        await lost.GetsAsync([0]);
        Assert.Empty((await lost.Main.ReadToEndAsync(Token)).Bytes);
        lost.Main.Socket.Dispose();
        Assert.Empty((await lost.Preempt.ReadToEndAsync(Token)).Bytes);
        var ends = new PostcopyEnds(source, await scene.AcceptAsync(), await scene.AcceptAsync());
        await ends.AskAsync(UrgentPage.First);
        await ends.GetsAsync(UrgentPage.First.Record);
    }

    /// <summary>Its page had come too late for the lost link, and the source closed it with that link.</summary>
    [Fact]
    public async Task The_preempt_channel_of_a_lost_link_does_not_join_the_next_link()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var lost = await scene.SwitchAsync();
        await lost.AskAsync(UrgentPage.First);
        lost.Lose(reset: false);
        Assert.True(lost.Preempt.Socket.Poll(TimeSpan.FromMinutes(1), SelectMode.SelectRead));
        var late = scene.Knock(UrgentPage.First.Record);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot() is { Undecided: 1, Candidates: 0 }, "the page is held", Token);
        late.Socket.Dispose();
        await lost.Main.ReadToEndAsync(Token);
        lost.Main.Socket.Dispose();

        var ends = await scene.RecoverAsync();
        await ends.AskAsync(UrgentPage.First);
        scene.Knock(UrgentPage.First.Record);

        await ends.GetsAsync(UrgentPage.First.Record);
        Assert.Equal(1, scene.Guard.Snapshot().Refused[RefusalReason.Closed]);
        Assert.False(ends.Preempt.Socket.Poll(TimeSpan.Zero, SelectMode.SelectRead), "the link is whole");
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task In_a_recovery_it_waits_too(bool reset)
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var lost = await scene.SwitchAsync();
        lost.Lose(reset: true);
        await lost.GetsAsync([0]);
        await lost.Main.ReadToEndAsync(Token);
        await scene.StateAsync(GuardState.Paused);
        var ends = await scene.RecoverAsync();
        await scene.StateAsync(GuardState.Recovering);

        ends.Lose(reset);

        Assert.False(ends.Main.Socket.Poll(TimeSpan.FromMilliseconds(300), SelectMode.SelectRead));
        await ends.GetsAsync([0]);
        Assert.Empty((await ends.Main.ReadToEndAsync(Token)).Bytes);
    }

    [Fact]
    public async Task The_preempt_channel_of_the_next_link_gets_nothing_of_the_lost_one()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var lost = await scene.SwitchAsync();
        lost.Lose(reset: false);
        Assert.True(lost.Preempt.Socket.Poll(TimeSpan.FromMinutes(1), SelectMode.SelectRead));
        lost.Main.Socket.Dispose(); // an operator pauses QEMU, whose preempt thread has read nothing yet
        await scene.StateAsync(GuardState.Paused);

        var ends = await scene.RecoverAsync();
        ends.Main.Send(PostcopyEnds.Resumed);
        Assert.Equal(PostcopyEnds.Resumed, await ends.Source.ReceiveAsync(PostcopyEnds.Resumed.Length, Token));
        await ends.AskAsync(UrgentPage.First);
        Assert.False(ends.Preempt.Socket.Poll(TimeSpan.FromMilliseconds(300), SelectMode.SelectRead));
        scene.Knock(UrgentPage.First.Record);
        await ends.GetsAsync(UrgentPage.First.Record);
    }

    [Fact]
    public async Task Before_the_switch_QEMU_hears_of_it_at_once()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var ends = new PostcopyEnds(scene.Knock(Opening.Main), await scene.AcceptAsync(), await scene.AcceptAsync());

        ends.Lose(reset: true);

        Assert.Equal(Opening.Main, (await ends.Main.ReadToEndAsync(Token)).Bytes);
        Assert.Empty((await ends.Preempt.ReadToEndAsync(Token)).Bytes);
        Assert.Equal(GuardState.Failed, await scene.EndAsync());
    }
}
