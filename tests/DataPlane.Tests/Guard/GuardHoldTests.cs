using DataPlane.Guard;
using DataPlane.Tests.Admission;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Guard;

/// <summary>Channels that close before the others of their migration are there, and a recovery that nobody asked for.</summary>
public sealed class GuardHoldTests
{
    // Longer than what admission reads of any connection: the rest stays in the socket.
    private static readonly byte[] s_wholeStream = [.. Opening.Main, .. new byte[1000]];

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_main_channel_that_has_sent_everything_and_closed_is_kept_for_its_multifd_channels()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 1);
        scene.Knock(s_wholeStream).Finish();
        await HeldAsync(scene, 1);

        scene.Knock(Opening.Multifd(0));

        (var end, var bytes) = await (await scene.AcceptAsync()).ReadToEndAsync(Token);
        Assert.Equal(PeerEnd.Closed, end);
        Assert.Equal(s_wholeStream, bytes);
    }

    [Fact]
    public async Task But_not_for_ever()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 1, undecided: TimeSpan.FromSeconds(1));
        scene.Knock(s_wholeStream).Finish();
        await HeldAsync(scene, 1);
        await HeldAsync(scene, 0);
        Assert.Equal(GuardState.Waiting, scene.Guard.Snapshot().State);
        Assert.False(scene.HasKnocked);
    }

    [Fact]
    public async Task One_that_is_reset_behind_its_bytes_is_gone_at_once()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 1);
        var main = scene.Knock(s_wholeStream);
        await HeldAsync(scene, 1);
        main.Reset();
        await HeldAsync(scene, 0);
        Assert.False(scene.HasKnocked);
    }

    /// <summary>
    /// Of a peer that has vanished the kernel alone says nothing for a quarter of an hour while bytes for it are under way.
    /// </summary>
    [Fact]
    public async Task Acknowledgements_on_relayed_channels_are_watched()
    {
        await using var scene = await GuardScene.OpenAsync(channels: 1);
        System.Collections.Concurrent.ConcurrentBag<TimeSpan> timers = [];
        scene.Time.Lacks = length =>
        {
            timers.Add(length);
            return null;
        };
        scene.Knock(Opening.Main);
        await HeldAsync(scene, 1);
        await Eventually.TrueAsync(() => timers.Contains(TimeSpan.FromSeconds(2)), "somebody looks every two seconds", Token);
    }

    [Fact]
    public async Task No_timer_outlives_a_guard()
    {
        var scene = await GuardScene.OpenAsync(channels: 1, preempt: true);
        await using (scene)
        {
            scene.Knock();
            var source = scene.Knock(Opening.Main);
            scene.Knock(Opening.Multifd(0));
            var main = await scene.AcceptAsync();
            main.Send(PostcopyEnds.Switchover);
            await scene.StateAsync(GuardState.Postcopy);
            source.Send(MainStreamEndTests.Bytes);
            await main.ReceiveAsync(Opening.Main.Length + MainStreamEndTests.Bytes.Length, Token);
            Assert.True(scene.Time.Timers > 0);
            main.Send(0, 1, 0, 4, 0, 0, 0, 0).Finish();
            source.Finish();
            Assert.Equal(GuardState.Completed, await scene.EndAsync());
        }

        await Eventually.TrueAsync(() => scene.Time.Timers == 0, "no timer is left", Token);
    }

    [Fact]
    public async Task A_recovery_of_a_block_that_QEMU_does_not_have_is_refused()
    {
        using FakeMonitor monitor = new();
        monitor.Answers["query-migrate-capabilities"] = FakeMonitor.Capabilities("events", "postcopy-ram");
        monitor.Answers["human-monitor-command"] =
            "\"        pc.ram    4 KiB  0x0000000000000000 0x0000000004000000 0x0000000004000000\\r\\n\"";
        await using var scene = await GuardScene.OpenAsync(monitor: monitor);
        var source = scene.Knock(Opening.Main);
        var main = await scene.AcceptAsync();
        main.Send(PostcopyEnds.Switchover);
        await scene.StateAsync(GuardState.Postcopy);
        source.Reset();
        await main.ReadToEndAsync(Token);
        await scene.StateAsync(GuardState.Paused);
        monitor.SayStatus("postcopy-paused");

        var stranger = scene.Knock(0x08, 0, 0x0A, 0, 4, 3, (byte)'p', (byte)'c', (byte)'x');
        await stranger.ReadToEndAsync(Token);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Refused[RefusalReason.BadRecovery] == 1, "it is refused", Token);
        Assert.False(scene.HasKnocked);

        scene.Knock(Opening.Recovery);
        Assert.Equal(Opening.Recovery, await (await scene.AcceptAsync()).ReceiveAsync(Opening.Recovery.Length, Token));
    }

    [Fact]
    public async Task A_source_that_has_noticed_the_loss_of_its_link_before_the_guard_recovers_as_soon_as_the_guard_has()
    {
        await using var scene = await GuardScene.OpenAsync(preempt: true);
        var source = scene.Knock(Opening.Main);
        var main = await scene.AcceptAsync();
        var preempt = await scene.AcceptAsync();
        var early = scene.Knock(Opening.Recovery);
        await early.ReadToEndAsync(Token); // nothing can be paused before postcopy
        main.Send(PostcopyEnds.Switchover);
        await scene.StateAsync(GuardState.Postcopy);

        scene.Knock(Opening.Recovery);
        await Eventually.TrueAsync(() => scene.Guard.Snapshot().Undecided == 1, "it is held", Token);
        Assert.False(scene.HasKnocked);
        source.Reset();

        await preempt.ReadToEndAsync(Token);
        Assert.Equal(Opening.Recovery, await (await scene.AcceptAsync()).ReceiveAsync(Opening.Recovery.Length, Token));
        Assert.Equal(1, scene.Guard.Snapshot().Refused[RefusalReason.Unexpected]);
    }

    private static Task HeldAsync(GuardScene scene, int count) =>
        Eventually.TrueAsync(() => scene.Guard.Snapshot().Channels.Count == count, $"{count} held", Token);
}
