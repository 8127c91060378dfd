using DataPlane.MainStream;
using DataPlane.Memory;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.MainStream;

/// <summary>The thread that sends pages on main: it lives as long as its sender, which waits for its end.</summary>
public sealed class MainPageSenderTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task One_round_follows_another_and_the_block_comes_back_at_the_end()
    {
        using var guest = TestGuest.Patterned(1 << 20);
        await using var pair = await ChannelPair.ConnectAsync(Token);
        var reading = pair.Peer.ReadToEndAsync(Token);
        using var pool = new BlockPool();
        var sender = new MainPageSender(pool) { Main = pair.Channel };
        var pages = new GuestPageSet(guest.Memory);
        pages.SetAll();
        var feed = new PageFeed(guest.Memory, pages);

        await sender.SendRoundAsync(feed);
        feed.Restart(pages);
        await sender.SendRoundAsync(feed);

        Assert.Equal(2 * guest.Memory.TotalPages, sender.NormalPages + sender.ZeroPages);
        await sender.StopAsync().WaitAsync(Token);
        Assert.Equal(0, pool.OutstandingBlocks);
        await pair.Channel.DisposeAsync();
        await reading;
    }

    [Fact]
    public async Task A_channel_that_is_aborted_fails_its_round_and_the_thread_ends_all_the_same()
    {
        using var guest = TestGuest.Patterned(16 << 20);
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using var pool = new BlockPool();
        var sender = new MainPageSender(pool) { Main = pair.Channel };
        var pages = new GuestPageSet(guest.Memory);
        pages.SetAll();

        var round = sender.SendRoundAsync(new PageFeed(guest.Memory, pages)); // nobody reads, so it does not come to its end
        pair.Channel.Abort();

        await Assert.ThrowsAsync<ChannelException>(() => round.WaitAsync(Token));
        await sender.StopAsync().WaitAsync(Token);
        Assert.Equal(0, pool.OutstandingBlocks);
    }

    [Fact]
    public async Task A_sender_that_is_never_used_ends()
    {
        using var pool = new BlockPool();
        await new MainPageSender(pool).StopAsync().WaitAsync(Token);
        Assert.Equal(0, pool.OutstandingBlocks);
    }
}
