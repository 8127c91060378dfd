using DataPlane.Multifd;
using Xunit;

namespace DataPlane.Tests.Multifd;

public sealed class SyncBarrierTests
{
    [Fact]
    public async Task Main_waits_for_every_channel_and_every_channel_for_main()
    {
        var barrier = new SyncBarrier(2);
        var first = Task.Run(() => barrier.ArriveAndWait(0), TestContext.Current.CancellationToken);
        var mark = barrier.PassMarkAsync();
        Assert.False(mark.IsCompleted);
        var second = Task.Run(() => barrier.ArriveAndWait(1), TestContext.Current.CancellationToken);
        await mark.WaitAsync(TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken);
        Assert.True(await first);
        Assert.True(await second);
    }

    [Fact]
    public async Task A_channel_that_is_ahead_stays_blocked_until_its_own_mark()
    {
        var barrier = new SyncBarrier(1);
        var marks = 0;
        var passed = 0;
        var channel = Task.Run(() =>
        {
            for (var sync = 0; sync < 100 && barrier.ArriveAndWait(0); sync++)
            {
                // The k-th SYNC belongs to the k-th mark: never ahead of it.
                Assert.True(Volatile.Read(ref marks) > sync);
                passed++;
            }
        }, TestContext.Current.CancellationToken);
        for (var mark = 0; mark < 100; mark++)
        {
            Volatile.Write(ref marks, mark + 1); // main comes to it
            await barrier.PassMarkAsync().WaitAsync(TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken);
        }

        await channel.WaitAsync(TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken);
        Assert.Equal(100, passed);
    }

    [Fact]
    public async Task A_channel_that_has_ended_is_no_error_until_main_comes_to_a_mark_it_has_not_reached()
    {
        var barrier = new SyncBarrier(1);
        var arrived = Task.Run(() => barrier.ArriveAndWait(0), TestContext.Current.CancellationToken);
        await barrier.PassMarkAsync().WaitAsync(TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken);
        Assert.True(await arrived);
        barrier.ChannelEnded(0);
        var broken = await Assert.ThrowsAsync<SyncBarrierBrokenException>(barrier.PassMarkAsync);
        Assert.Equal(0, broken.ChannelId);
    }

    [Fact]
    public async Task A_channel_that_ends_while_main_waits_breaks_the_wait()
    {
        var barrier = new SyncBarrier(2);
        var mark = barrier.PassMarkAsync();
        barrier.ChannelEnded(1);
        barrier.ChannelEnded(0);
        await Assert.ThrowsAsync<SyncBarrierBrokenException>(
            () => mark.WaitAsync(TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task A_failure_frees_everybody_and_the_first_one_stays()
    {
        var barrier = new SyncBarrier(2);
        var channel = Task.Run(() => barrier.ArriveAndWait(0), TestContext.Current.CancellationToken);
        var mark = barrier.PassMarkAsync();
        barrier.Fail(new InvalidOperationException("first"));
        barrier.Fail(new InvalidOperationException("second"));
        Assert.False(await channel.WaitAsync(TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken));
        Assert.Equal("first", (await Assert.ThrowsAsync<InvalidOperationException>(() => mark)).Message);
        Assert.Equal("first", (await Assert.ThrowsAsync<InvalidOperationException>(barrier.PassMarkAsync)).Message);
    }

    [Fact]
    public async Task A_trailing_sync_without_a_mark_is_let_go_when_the_stream_has_ended()
    {
        var barrier = new SyncBarrier(1);
        var channel = Task.Run(() => barrier.ArriveAndWait(0), TestContext.Current.CancellationToken);
        barrier.Open();
        Assert.False(await channel.WaitAsync(TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken));
    }
}
