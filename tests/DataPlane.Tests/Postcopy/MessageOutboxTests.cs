using DataPlane.MainStream;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

public sealed class MessageOutboxTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_send_that_throws_ends_the_channel_and_every_wait()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        var outbox = new MessageOutbox(pair.Channel, static _ => throw new InvalidOperationException("unforeseen"));
        Assert.True(outbox.TryAdd([1, 2, 3], out var end));

        var failure = Assert.Throws<ChannelException>(() => outbox.SendUpTo(end, "testing"));

        Assert.Equal((FailureReason.LocalFailure, "unforeseen"), (failure.Reason, failure.Message));
        Assert.False(outbox.TryAdd([4], out _));
        var later = Task.Run(() => outbox.SendUpTo(end, "testing"), Token);
        await Assert.ThrowsAsync<ChannelException>(() => later.WaitAsync(TimeSpan.FromMinutes(1), Token));
        // Who reads the channel hears of it, too.
        Assert.Equal(PeerEnd.Reset, (await pair.Peer.ReadToEndAsync(Token).WaitAsync(TimeSpan.FromMinutes(1), Token)).End);
    }

    [Fact]
    public async Task A_request_that_cannot_be_sent_does_not_throw_into_the_thread_that_needs_the_page()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        var outbox = new MessageOutbox(pair.Channel, static _ => throw new InvalidOperationException("unforeseen"));
        Assert.True(outbox.TryAdd([1], out _));

        outbox.TrySendAll();

        Assert.False(outbox.TryAdd([2], out _));
    }
}
