using DataPlane.Guard;
using DataPlane.Tests.Admission;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

public sealed class GuardedVmTests
{
    private static readonly byte[] s_success = [0, 1, 0, 4, 0, 0, 0, 0];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task QEMU_gets_main_then_multifd_by_number_then_preempt_whatever_the_order_of_arrival()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 3, preempt: true);

        scene.Knock();
        scene.Knock(Opening.Multifd(2));
        scene.Knock(Opening.Multifd(0));
        scene.Knock(Opening.Main);
        scene.Knock(Opening.Http);
        scene.Knock(Opening.Multifd(1));

        Assert.Equal(Opening.Main, await (await scene.AcceptAsync()).ReceiveAsync(Opening.Main.Length, Token));
        for (var id = 0; id < 3; id++)
        {
            Assert.Equal(Opening.Multifd(id), await (await scene.AcceptAsync()).ReceiveAsync(64, Token));
        }

        var preempt = await scene.AcceptAsync();
        Assert.Equal(0, preempt.Socket.Available);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Channels.Count == 5, "preempt is there too", Token);
        var seen = scene.Guard.Snapshot();
        Assert.Equal(GuardState.Relaying, seen.State);
        Assert.Equal(
            [ChannelKind.Main, ChannelKind.Multifd, ChannelKind.Multifd, ChannelKind.Multifd, ChannelKind.Preempt],
            seen.Channels.Select(c => c.Kind));
        Assert.Null(seen.Channels[^1].Peer);
        Assert.Equal(1, seen.Refused[RefusalReason.Garbage]);
        Assert.Equal(1, seen.Undecided);
    }

    [Fact]
    public async Task QEMU_hears_nothing_before_everything_is_there_and_a_source_that_gives_up_costs_nothing()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 2);
        var main = scene.Knock(Opening.Main);
        var multifd = scene.Knock(Opening.Multifd(0));
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Channels.Count == 2, "two are held", Token);
        Assert.False(scene.HasKnocked);

        main.Reset();
        await multifd.ReadToEndAsync(Token);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Channels.Count == 0, "none is held", Token);
        Assert.False(scene.HasKnocked);
        Assert.Equal(GuardState.Waiting, scene.Guard.Snapshot().State);

        scene.Knock(Opening.Multifd(0)); // the address was open all the time
        scene.Knock(Opening.Multifd(1));
        scene.Knock(Opening.Main);
        Assert.Equal(Opening.Main, await (await scene.AcceptAsync()).ReceiveAsync(Opening.Main.Length, Token));
    }

    [Fact]
    public async Task The_preempt_channel_is_whoever_brings_a_page_that_was_asked_for()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var early = scene.Knock();
        var source = scene.Knock(Opening.Main);
        var main = await scene.AcceptAsync();
        var preempt = await scene.AcceptAsync();
        var liar = scene.Knock();

        main.Send(UrgentPage.First.Request);
        Assert.Equal(UrgentPage.First.Request, await source.ReceiveAsync(UrgentPage.First.Request.Length, Token));
        liar.Send(Opening.Record(0x1235000, Opening.PageFlag, "pc.ram"));
        await liar.ReadToEndAsync(Token);
        byte[] page = [.. Opening.Record(0x1234000, Opening.PageFlag, "pc.ram"), .. new byte[4096]];
        early.Send(page);

        Assert.Equal(page, await preempt.ReceiveAsync(page.Length, Token));
        var seen = scene.Guard.Snapshot();
        Assert.Equal(GuardState.Postcopy, seen.State);
        Assert.Equal(1, seen.Refused[RefusalReason.BadPreempt]);
        Assert.NotNull(seen.Channels.Single(c => c.Kind == ChannelKind.Preempt).Peer);
    }

    [Fact]
    public async Task A_lost_link_in_postcopy_is_a_pause_and_the_source_may_come_again()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var source = scene.Knock(Opening.Main);
        var main = await scene.AcceptAsync();
        var preempt = await scene.AcceptAsync();
        main.Send(PostcopyEnds.Switchover);
        await scene.StateAsync(GuardState.Postcopy);

        source.Reset();
        await main.ReadToEndAsync(Token);
        await preempt.ReadToEndAsync(Token);
        await scene.StateAsync(GuardState.Paused);
        var stranger = scene.Knock(Opening.Main);
        await stranger.ReadToEndAsync(Token);
        Assert.False(scene.HasKnocked);

        var again = scene.Knock(Opening.Recovery);
        main = await scene.AcceptAsync();
        Assert.Equal(Opening.Recovery, await main.ReceiveAsync(Opening.Recovery.Length, Token));
        preempt = await scene.AcceptAsync();
        Assert.Equal(GuardState.Recovering, scene.Guard.Snapshot().State);
        main.Send(PostcopyEnds.Resumed).Send(UrgentPage.First.Request);
        await again.ReceiveAsync(PostcopyEnds.Resumed.Length + UrgentPage.First.Request.Length, Token);
        await scene.StateAsync(GuardState.Postcopy);
        byte[] page = [.. Opening.Record(0x1234000, Opening.ZeroFlag, "pc.ram"), 0];
        scene.Knock(page);
        Assert.Equal(page, await preempt.ReceiveAsync(page.Length, Token));

        main.Send(s_success).Finish();
        again.Finish();
        Assert.Equal(GuardState.Completed, await scene.EndAsync());
    }

    [Fact]
    public async Task QEMUs_word_of_success_completes_and_leaves_nothing_behind()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 1, preempt: true);
        var source = scene.Knock(Opening.Main);
        scene.Knock(Opening.Multifd(0));
        var silent = scene.Knock();
        var main = await scene.AcceptAsync();
        var multifd = await scene.AcceptAsync();
        var preempt = await scene.AcceptAsync();

        main.Send(s_success).Finish();
        Assert.Equal(s_success, (await source.ReadToEndAsync(Token)).Bytes);
        source.Finish();

        Assert.Equal(GuardState.Completed, await scene.EndAsync());
        Assert.Equal(PeerEnd.Closed, (await preempt.ReadToEndAsync(Token)).End);
        await multifd.ReadToEndAsync(Token); // its client never closed it: the guard did, at the end of its patience
        await silent.ReadToEndAsync(Token);
        Assert.All(scene.Guard.Snapshot().Channels, c => Assert.Equal(GuardChannelState.Closed, c.State));
    }

    [Fact]
    public async Task A_QEMU_that_dies_closes_every_channel_of_the_source()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 1);
        var source = scene.Knock(Opening.Main);
        var sourceMultifd = scene.Knock(Opening.Multifd(0));
        var main = await scene.AcceptAsync();
        await scene.AcceptAsync();
        await main.ReceiveAsync(4, Token);

        main.Socket.Dispose();

        await source.ReadToEndAsync(Token);
        source.Socket.Dispose();
        await sourceMultifd.ReadToEndAsync(Token);
        Assert.Equal(GuardState.Failed, await scene.EndAsync());
        Assert.Contains("main channel", scene.Guard.Snapshot().Failure, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_source_that_vanishes_is_told_to_QEMU_at_once()
    {
        await using var scene = await GuardScene.OpenAsync();
        var source = scene.Knock(Opening.Main);
        var main = await scene.AcceptAsync();
        await main.ReceiveAsync(Opening.Main.Length, Token);

        source.Reset();

        Assert.Equal(PeerEnd.Closed, (await main.ReadToEndAsync(Token)).End);
        Assert.Equal(GuardState.Failed, await scene.EndAsync());
        Assert.StartsWith("the source's main channel was lost", scene.Guard.Snapshot().Failure, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("completed", GuardState.Completed)]
    [InlineData("failed", GuardState.Failed)]
    public async Task Without_a_return_path_the_monitor_says_how_it_ended(string status, GuardState expected)
    {
        using FakeMonitor monitor = new();
        await using var scene = await GuardScene.OpenAsync(monitor: monitor);
        var source = scene.Knock(Opening.Main);
        var main = await scene.AcceptAsync();
        source.Finish();
        await main.ReadToEndAsync(Token);
        main.Socket.Dispose();

        monitor.SayStatus(status);

        Assert.Equal(expected, await scene.EndAsync());
    }

    [Theory]
    [InlineData(true, false, true)] // its name, given by somebody before
    [InlineData(false, false, false)]
    [InlineData(false, true, true)] // its name, but no socket any more
    public async Task Only_a_socket_that_the_guard_had_QEMU_make_is_removed(bool listensAlready, bool becomesFile, bool stays)
    {
        using FakeMonitor monitor = new();
        await using var scene = await GuardScene.OpenAsync(monitor: monitor, listensAlready: listensAlready);
        var source = scene.Knock(Opening.Main);
        var main = await scene.AcceptAsync();
        if (becomesFile)
        {
            File.Delete(scene.Incoming);
            await File.WriteAllTextAsync(scene.Incoming, "precious", Token);
        }

        source.Finish();
        await main.ReadToEndAsync(Token);
        main.Socket.Dispose();
        monitor.SayStatus("completed");
        await scene.EndAsync();
        await scene.Guard.DisposeAsync();

        Assert.Equal(stays, Path.Exists(scene.Incoming));
    }

    [Fact]
    public async Task Retired_while_nobody_has_come_the_guard_ends_and_QEMU_goes_on_waiting()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 1);
        scene.Knock(); // a stranger that says nothing keeps nobody

        scene.Guard.Retire();

        Assert.Equal(GuardState.Stopped, await scene.EndAsync());
        Assert.False(scene.HasKnocked);
    }

    [Fact]
    public async Task Disposed_of_while_it_serves_the_guard_ends_as_stopped()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 1);
        scene.Knock(Opening.Main);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Channels.Count == 1, "main is held", Token);

        await scene.Guard.DisposeAsync();

        Assert.Equal(GuardState.Stopped, await scene.EndAsync());
    }

    [Fact]
    public async Task Retired_while_a_set_is_being_completed_the_guard_serves_that_migration()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 1);
        var source = scene.Knock(Opening.Main);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Channels.Count == 1, "main is held", Token);

        scene.Guard.Retire();
        scene.Knock(Opening.Multifd(0));

        await scene.AcceptAsync();
        await scene.StateAsync(GuardState.Relaying);
        Assert.False(scene.Run.IsCompleted);
        source.Reset();
        Assert.Equal(GuardState.Failed, await scene.EndAsync());
    }

    [Fact]
    public async Task Retired_while_a_set_is_being_completed_the_guard_ends_when_its_source_gives_up()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 1);
        var source = scene.Knock(Opening.Main);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Channels.Count == 1, "main is held", Token);

        scene.Guard.Retire();
        source.Reset();

        Assert.Equal(GuardState.Stopped, await scene.EndAsync());
    }

    [Fact]
    public async Task A_link_that_QEMU_makes_of_its_name_is_not_followed()
    {
        using FakeMonitor monitor = new();
        await using var scene = await GuardScene.OpenAsync(monitor: monitor);
        var elsewhere = scene.Incoming + ".elsewhere";
        File.Move(scene.Incoming, elsewhere);
        File.CreateSymbolicLink(scene.Incoming, elsewhere);

        scene.Knock(Opening.Main);

        Assert.Equal(GuardState.Failed, await scene.EndAsync());
        Assert.False(scene.HasKnocked);
        Assert.Contains($"cannot connect to unix:{scene.Incoming}", scene.Guard.Snapshot().Failure, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_QEMU_that_goes_while_it_waits_ends_the_guard()
    {
        using FakeMonitor monitor = new();
        await using var scene = await GuardScene.OpenAsync(monitor: monitor);

        monitor.HangUp();

        Assert.Equal(GuardState.Failed, await scene.EndAsync());
        Assert.Equal("QEMU is gone", scene.Guard.Snapshot().Failure);
    }
}
