using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

/// <summary>Channels that are looked at, and aborted, while they come.</summary>
public sealed class ChannelSetTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Who_looks_while_it_is_filled_sees_whole_lists_in_order()
    {
        const int Count = 64;
        await using var pair = await ChannelPair.ConnectAsync(Token);
        for (var round = 0; round < 20; round++)
        {
            var set = new ChannelSet(Count);
            using var over = new CancellationTokenSource();
            var looking = Task.Run(
                () =>
                {
                    while (!over.IsCancellationRequested)
                    {
                        _ = set.Now.Sum(static channel => channel.BytesSent); // a list would throw: it was modified
                    }
                },
                Token);
            Parallel.For(0, Count, id => set.Add(id, pair.Channel));
            await over.CancelAsync();
            await looking;
            Assert.Equal(Count, set.Now.Count);
        }
    }

    [Fact]
    public async Task What_comes_after_the_abort_is_aborted()
    {
        await using var early = await ChannelPair.ConnectAsync(Token);
        await using var late = await ChannelPair.ConnectAsync(Token);
        var set = new ChannelSet(2);
        set.Add(1, early.Channel);
        set.Abort();
        set.Add(0, late.Channel);
        Assert.True(early.Channel.IsAborted);
        Assert.True(late.Channel.IsAborted);
        Assert.Equal([late.Channel, early.Channel], set.Now);
    }
}
