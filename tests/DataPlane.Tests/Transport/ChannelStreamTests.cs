using System.Buffers;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class ChannelStreamTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task A_stream_delivers_prepended_bytes_first_and_then_the_sockets()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        pair.Channel.Prepend([1, 2]);
        pair.Peer.Send(3, 4).Finish();

        var result = await pair.Channel.Input.ReadAtLeastAsync(4, Token);
        Assert.Equal([1, 2, 3, 4], result.Buffer.ToArray());
        pair.Channel.Input.AdvanceTo(result.Buffer.End);
        result = await pair.Channel.Input.ReadAsync(Token);
        Assert.True(result.IsCompleted);
        Assert.Equal(4, pair.Channel.BytesReceived);
    }

    [Fact]
    public async Task Written_bytes_leave_on_flush_in_order()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        var bytes = new byte[300_000];
        new Random(1).NextBytes(bytes);
        var received = pair.Peer.ReceiveAsync(bytes.Length, Token);
        for (var i = 0; i < bytes.Length; i += 1000)
        {
            pair.Channel.Output.Write(bytes.AsSpan(i, 1000));
        }

        await pair.Channel.Output.FlushAsync(Token);
        Assert.Equal(bytes, await received);
        Assert.Equal(bytes.Length, pair.Channel.BytesSent);
    }

    [Fact]
    public async Task Both_pipes_live_on_pool_blocks_and_give_them_back()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        pair.Peer.Send(1);
        var result = await pair.Channel.Input.ReadAsync(Token);
        pair.Channel.Output.Write(new byte[] { 1 });
        Assert.Equal(["main input", "main output"], pair.Pool.OutstandingOwners.Order());
        pair.Channel.Input.AdvanceTo(result.Buffer.Start);
        await pair.Channel.DisposeAsync();
        Assert.Equal(0, pair.Pool.OutstandingBlocks);
    }

    [Fact]
    public async Task A_reset_is_an_exception_with_the_channels_name()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        pair.Peer.Reset();
        var e = await Assert.ThrowsAsync<ChannelException>(async () => await pair.Channel.Input.ReadAsync(Token));
        Assert.Equal((ChannelEnd.Reset, "main"), (e.End, e.Channel));
    }

    [Fact]
    public async Task A_cancelled_read_loses_nothing()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using var cancel = new CancellationTokenSource();
        var reading = pair.Channel.Input.ReadAsync(cancel.Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await reading);
        pair.Peer.Send(9);
        var result = await pair.Channel.Input.ReadAsync(Token);
        Assert.Equal([9], result.Buffer.ToArray());
    }

    [Fact]
    public async Task A_cancelled_write_ends_the_channel()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using var cancel = new CancellationTokenSource();
        var writing = pair.Channel.Output.WriteAsync(new byte[32 << 20], cancel.Token);
        await pair.Peer.ReceiveAsync(1, Token);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await writing);
        Assert.True(pair.Channel.IsAborted);
        Assert.Equal(PeerEnd.Reset, (await pair.Peer.ReadToEndAsync(Token)).End);
    }
}
