using System.Buffers;
using DataPlane.Linux;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Microsoft.Extensions.Time.Testing;
using Xunit;
using static DataPlane.Tests.Transport.BulkTransfers;

namespace DataPlane.Tests.Transport;

public sealed class ChannelEndTests
{
    private static readonly TimeSpan s_long = TimeSpan.FromSeconds(60);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Abort_brings_a_blocked_receiver_back_at_once(bool unix)
    {
        await using var pair = await ChannelPair.ConnectAsync(Token, unix);
        using NativeBuffer target = new(100);
        pair.Peer.Send(1, 2, 3);
        var receiving = OnThread(() => pair.Channel.Receive([target.Whole]));
        await TakenAsync(pair.Channel);

        pair.Channel.Abort();

        var result = await receiving.WaitAsync(s_long, Token);
        Assert.Equal(ChannelEnd.Aborted, result.End);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Abort_brings_a_blocked_sender_back_at_once(bool unix)
    {
        await using var pair = await ChannelPair.ConnectAsync(Token, unix);
        using NativeBuffer source = new(64 << 20);
        var sending = OnThread(() => pair.Channel.Send([source.Whole]));
        await pair.Peer.ReceiveAsync(1, Token);

        pair.Channel.Abort();

        var result = await sending.WaitAsync(s_long, Token);
        Assert.Equal(ChannelEnd.Aborted, result.End);
        Assert.True(result.Bytes < source.Length);
    }

    [Fact]
    public async Task An_aborted_tcp_channel_is_a_reset_for_the_peer_and_never_an_orderly_end()
    {
        for (var i = 0; i < 50; i++)
        {
            await using var pair = await ChannelPair.ConnectAsync(Token);
            using NativeBuffer target = new(100);
            var peer = pair.Peer.ReadToEndAsync(Token);
            var receiving = i % 2 == 0 ? OnThread(() => pair.Channel.Receive([target.Whole])) : null;
            pair.Channel.Abort();
            Assert.Equal(PeerEnd.Reset, (await peer).End);
            if (receiving is not null)
            {
                Assert.Equal(ChannelEnd.Aborted, (await receiving).End);
            }
        }
    }

    [Fact]
    public async Task Calls_after_an_abort_or_a_close_report_it_and_make_no_system_call()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using NativeBuffer buffer = new(10);
        pair.Channel.Abort();
        pair.Channel.Abort();
        Assert.Equal(ChannelEnd.Aborted, pair.Channel.Send([buffer.Whole]).End);
        Assert.Equal(ChannelEnd.Aborted, pair.Channel.Receive([buffer.Whole]).End);
        Assert.Equal((0, 0), (pair.Channel.SendCalls, pair.Channel.ReceiveCalls));
        Assert.False(await pair.Channel.CloseAsync(s_long, Token));
    }

    [Fact]
    public async Task Abort_ends_pending_stream_operations_with_a_reason()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        Task reading = pair.Channel.Input.ReadAsync(Token).AsTask();
        pair.Channel.Abort();
        var e = await Assert.ThrowsAsync<ChannelException>(() => reading.WaitAsync(s_long, Token));
        Assert.Equal((ChannelEnd.Aborted, "main"), (e.End, e.Channel));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_graceful_close_delivers_every_byte_and_then_an_end(bool unix)
    {
        await using var pair = await ChannelPair.ConnectAsync(Token, unix);
        using var source = new NativeBuffer(100_000).Fill(1);
        Assert.True(pair.Channel.Send([source.Whole]).Complete);
        pair.Channel.Output.Write(new byte[] { 1, 2, 3 });

        var closing = pair.Channel.CloseAsync(s_long, Token).AsTask();
        (var end, var bytes) = await pair.Peer.ReadToEndAsync(Token);

        Assert.Equal(PeerEnd.Closed, end);
        Assert.Equal(100_003, bytes.Length);
        Assert.True(source.Span.SequenceEqual(bytes.AsSpan(0, 100_000)));
        Assert.False(closing.IsCompleted, "it waits for the peer's end");
        pair.Peer.Send(new byte[200_000]).Finish();
        Assert.True(await closing);
        Assert.Equal(0, pair.Pool.OutstandingBlocks);
    }

    [Fact]
    public async Task A_close_gives_the_peer_no_longer_than_its_deadline()
    {
        FakeTimeProvider time = new();
        await using var pair = await ChannelPair.ConnectAsync(Token, time: time);
        var closing = pair.Channel.CloseAsync(TimeSpan.FromSeconds(5), Token).AsTask();
        Assert.Equal(PeerEnd.Closed, (await pair.Peer.ReadToEndAsync(Token)).End);
        time.Advance(TimeSpan.FromSeconds(4.9));
        Assert.False(closing.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(0.2));
        Assert.False(await closing.WaitAsync(s_long, Token));
    }

    [Fact]
    public async Task A_cancelled_close_still_closes()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        Assert.False(await pair.Channel.CloseAsync(s_long, new CancellationToken(canceled: true)));
        Assert.Equal(PeerEnd.Closed, (await pair.Peer.ReadToEndAsync(Token)).End);
    }

    [Fact]
    public async Task Disposing_without_a_close_still_delivers_what_was_sent()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using var source = new NativeBuffer(200_000).Fill(2);
        Assert.True(pair.Channel.Send([source.Whole]).Complete);
        await pair.Channel.DisposeAsync();
        (var end, var bytes) = await pair.Peer.ReadToEndAsync(Token);
        Assert.Equal((PeerEnd.Closed, 200_000), (end, bytes.Length));
    }

    [Fact]
    public async Task Abort_from_many_threads_while_others_transfer_ends_every_call()
    {
        for (var i = 0; i < 30; i++)
        {
            await using var pair = await ChannelPair.ConnectAsync(Token);
            using NativeBuffer source = new(1 << 20);
            using NativeBuffer target = new(1 << 20);
            var sending = OnThread(() => Repeat(() => pair.Channel.Send([source.Whole])));
            var receiving = OnThread(() => Repeat(() => pair.Channel.Receive([target.Whole])));
            await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => Task.Run(() => pair.Channel.Abort(), Token)));
            Assert.Equal(ChannelEnd.Aborted, (await sending.WaitAsync(s_long, Token)).End);
            Assert.Equal(ChannelEnd.Aborted, (await receiving.WaitAsync(s_long, Token)).End);
        }

        static TransferResult Repeat(Func<TransferResult> call)
        {
            TransferResult result;
            do
            {
                result = call();
            }
            while (result.Complete);
            return result;
        }
    }

    /// <summary>Until the receiver has taken the bytes that are there: it is then inside its call, waiting for the rest.</summary>
    private static async Task TakenAsync(Channel channel)
    {
        while (Peek(channel) > 0)
        {
            await Task.Yield();
        }

        static unsafe nint Peek(Channel channel)
        {
            const int MessagePeek = 2;
            byte b;
            return Libc.Receive(channel.Handle, &b, 1, MessagePeek | Libc.MessageDontWait);
        }
    }
}
