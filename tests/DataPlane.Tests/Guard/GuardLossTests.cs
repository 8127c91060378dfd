using System.Net.Sockets;
using DataPlane.Guard;
using DataPlane.Tests.Admission;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>A QEMU that hears of a lost link before its preempt thread reads the preempt channel dies of it.</summary>
public sealed class GuardLossTests
{
    private static readonly byte[] s_request = [0, 3, 0, 19, 0, 0, 0, 0, 0x01, 0x23, 0x40, 0, 0, 0, 0x10, 0, 6, .. "pc.ram"u8];
    private static readonly byte[] s_resumed = [0, 6, 0, 4, 0, 0, 0, 1];
    private static readonly byte[] s_page = [.. Opening.Record(0x1234000, Opening.PageFlag, "pc.ram"), .. new byte[4096]];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task QEMU_hears_of_a_loss_when_it_has_read_from_its_preempt_channel(bool reset)
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        (var source, var main, var preempt) = await SwitchAsync(scene);

        Lose(source, reset);

        Assert.False(main.Socket.Poll(TimeSpan.FromMilliseconds(300), SelectMode.SelectRead));
        Assert.Equal(GuardState.Postcopy, scene.Guard.Snapshot().State);
        Assert.Equal([0], await preempt.ReceiveAsync(1, Token));
        Assert.Empty((await main.ReadToEndAsync(Token)).Bytes);
        main.Socket.Dispose();
        Assert.Empty((await preempt.ReadToEndAsync(Token)).Bytes);
        await scene.StateAsync(GuardState.Paused);
    }

    [Fact]
    public async Task A_page_that_QEMU_has_read_shows_it_too_and_nothing_is_added()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        (var source, var main, var preempt) = await SwitchAsync(scene);
        main.Send(s_request);
        await source.ReceiveAsync(s_request.Length, Token);
        scene.Knock(s_page);
        Assert.Equal(s_page, await preempt.ReceiveAsync(s_page.Length, Token));

        Lose(source, reset: true);

        Assert.Empty((await main.ReadToEndAsync(Token)).Bytes);
        Assert.Empty((await preempt.ReadToEndAsync(Token)).Bytes);
    }

    [Fact]
    public async Task Nobody_joins_a_channel_whose_link_is_lost_and_a_page_that_comes_then_is_of_the_next_link()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        (var source, var main, var preempt) = await SwitchAsync(scene);
        main.Send(s_request);
        await source.ReceiveAsync(s_request.Length, Token);

        Lose(source, reset: false);
        Assert.True(preempt.Socket.Poll(TimeSpan.FromMinutes(1), SelectMode.SelectRead));
        scene.Knock(s_page);
        source = scene.Knock(Opening.Recovery);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot() is { Undecided: 2, Candidates: 0 }, "both are held", Token);

        Assert.Equal([0], await preempt.ReceiveAsync(1, Token));
        Assert.Empty((await main.ReadToEndAsync(Token)).Bytes);
        main.Socket.Dispose();
        Assert.Empty((await preempt.ReadToEndAsync(Token)).Bytes);
        main = await scene.AcceptAsync();
        preempt = await scene.AcceptAsync();
        main.Send(s_request);
        await source.ReceiveAsync(s_request.Length, Token);
        Assert.Equal(s_page, await preempt.ReceiveAsync(s_page.Length, Token));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task In_a_recovery_it_waits_too(bool reset)
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        (var source, var main, var preempt) = await PauseAsync(scene);

        Lose(source, reset);

        Assert.False(main.Socket.Poll(TimeSpan.FromMilliseconds(300), SelectMode.SelectRead));
        Assert.Equal([0], await preempt.ReceiveAsync(1, Token));
        Assert.Empty((await main.ReadToEndAsync(Token)).Bytes);
    }

    [Fact]
    public async Task The_preempt_channel_of_the_next_link_gets_nothing_of_the_lost_one()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        (var source, var main, var preempt) = await SwitchAsync(scene);
        Lose(source, reset: false);
        Assert.True(preempt.Socket.Poll(TimeSpan.FromMinutes(1), SelectMode.SelectRead));
        main.Socket.Dispose(); // an operator pauses QEMU, whose preempt thread has read nothing yet
        await scene.StateAsync(GuardState.Paused);

        source = scene.Knock(Opening.Recovery);
        main = await scene.AcceptAsync();
        await main.ReceiveAsync(Opening.Recovery.Length, Token);
        var next = await scene.AcceptAsync();
        main.Send(s_resumed).Send(s_request);
        await source.ReceiveAsync(s_resumed.Length + s_request.Length, Token);
        Assert.False(next.Socket.Poll(TimeSpan.FromMilliseconds(300), SelectMode.SelectRead));
        scene.Knock(s_page);
        Assert.Equal(s_page, await next.ReceiveAsync(s_page.Length, Token));
    }

    [Fact]
    public async Task Before_the_switch_QEMU_hears_of_it_at_once()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var source = scene.Knock(Opening.Main);
        var main = await scene.AcceptAsync();
        var preempt = await scene.AcceptAsync();

        Lose(source, reset: true);

        Assert.Equal(Opening.Main, (await main.ReadToEndAsync(Token)).Bytes);
        Assert.Empty((await preempt.ReadToEndAsync(Token)).Bytes);
        Assert.Equal(GuardState.Failed, await scene.EndAsync());
    }

    private static void Lose(ScriptedPeer source, bool reset)
    {
        if (reset)
        {
            source.Reset();
        }
        else
        {
            source.Finish();
        }
    }

    /// <summary>A link that is lost, and the one of its recovery, which has not said RESUME.</summary>
    private static async Task<(ScriptedPeer Source, ScriptedPeer Main, ScriptedPeer Preempt)> PauseAsync(GuardScene scene)
    {
        (var source, var main, var preempt) = await SwitchAsync(scene);
        Lose(source, reset: true);
        await preempt.ReceiveAsync(1, Token);
        await main.ReadToEndAsync(Token);
        await scene.StateAsync(GuardState.Paused);
        source = scene.Knock(Opening.Recovery);
        main = await scene.AcceptAsync();
        await main.ReceiveAsync(Opening.Recovery.Length, Token);
        preempt = await scene.AcceptAsync();
        await scene.StateAsync(GuardState.Recovering);
        return (source, main, preempt);
    }

    private static async Task<(ScriptedPeer Source, ScriptedPeer Main, ScriptedPeer Preempt)> SwitchAsync(GuardScene scene)
    {
        var source = scene.Knock(Opening.Main);
        var main = await scene.AcceptAsync();
        var preempt = await scene.AcceptAsync();
        await main.ReceiveAsync(Opening.Main.Length, Token);
        main.Send([0, 2, 0, 4, 0, 0, 0, 2]);
        await source.ReceiveAsync(8, Token);
        await scene.StateAsync(GuardState.Postcopy);
        return (source, main, preempt);
    }
}
