using DataPlane.TestSupport;
using DataPlane.Transport;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Transport;

/// <summary>Waits on peers that do not read, and what ends them.</summary>
public sealed class PeerDeadlineTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_write_that_must_not_be_cancelled_ends_with_the_deadline_and_says_why()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token, options: new ChannelOptions { SendBufferBytes = 4096 });
        var time = new FakeTimeProvider();
        using var deadline = PeerDeadline.Start(pair.Channel, TimeSpan.FromSeconds(7), "the last byte was to be sent", time);
        var flushing = FillAsync(pair.Channel);
        time.Advance(TimeSpan.FromSeconds(6));
        Assert.False(flushing.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(1));
        var failure = await Assert.ThrowsAsync<ChannelException>(() => flushing.WaitAsync(s_patience, Token));
        Assert.Equal(FailureReason.Stalled, failure.Reason);
        Assert.Equal("the peer took nothing for 7 s while the last byte was to be sent", failure.Message);
    }

    [Fact]
    public async Task A_blocking_send_ends_with_the_deadline_too()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token, options: new ChannelOptions { SendBufferBytes = 4096 });
        using NativeBuffer content = new(8 << 20);
        var time = new FakeTimeProvider();
        using var deadline = PeerDeadline.Start(pair.Channel, TimeSpan.FromSeconds(7), "it was to be told", time);
        var sending = OnThread(() => pair.Channel.Send([content.Whole]));
        time.Advance(TimeSpan.FromSeconds(7));
        var result = await sending.WaitAsync(s_patience, Token);
        Assert.Equal(ChannelEnd.Aborted, result.End);
        Assert.Equal(FailureReason.Stalled, ChannelException.From(result, pair.Channel, "telling").Reason);
    }

    [Fact]
    public async Task In_time_nothing_happens()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        var time = new FakeTimeProvider();
        using (PeerDeadline.Start(pair.Channel, TimeSpan.FromSeconds(7), "it was to be told", time))
        {
        }

        time.Advance(TimeSpan.FromMinutes(1));
        Assert.False(pair.Channel.IsAborted);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_send_that_waits_ends_with_its_companion(bool reset)
    {
        await using var main = await ChannelPair.ConnectAsync(Token);
        await using var pair = await ChannelPair.ConnectAsync(Token, options: new ChannelOptions { SendBufferBytes = 4096 });
        using NativeBuffer content = new(8 << 20);
        pair.Channel.SendsWith = main.Channel;
        var sending = OnThread(() => pair.Channel.Send([content.Whole]));
        await Eventually.TrueAsync(() => pair.Channel.SendCalls > 1, "the send waits", Token);
        Assert.False(sending.IsCompleted);
        if (reset)
        {
            main.Peer.Reset();
        }
        else
        {
            main.Channel.Abort();
        }

        var result = await sending.WaitAsync(s_patience, Token);
        Assert.False(result.Complete);
    }

    [Fact]
    public async Task A_companion_costs_no_system_call_and_loses_no_byte()
    {
        await using var main = await ChannelPair.ConnectAsync(Token);
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using NativeBuffer content = new(4096);
        pair.Channel.SendsWith = main.Channel;
        for (var i = 0; i < 8; i++)
        {
            Assert.True(pair.Channel.Send([content.Whole]).Complete);
        }

        Assert.Equal(8, pair.Channel.SendCalls);
        Assert.Equal(8 * 4096, (await pair.Peer.ReceiveAsync(8 * 4096, Token)).Length);
    }

    private static async Task FillAsync(Channel channel)
    {
        for (var i = 0; i < 64; i++)
        {
            channel.Output.Advance(Math.Min(channel.Output.GetSpan(65536).Length, 65536));
            await channel.Output.FlushAsync(CancellationToken.None);
        }
    }

    private static Task<T> OnThread<T>(Func<T> work) =>
        Task.Factory.StartNew(work, Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
}
