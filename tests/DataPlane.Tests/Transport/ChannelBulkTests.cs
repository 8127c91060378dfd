using CsCheck;
using DataPlane.Linux;
using DataPlane.Tests.Support;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;
using static DataPlane.Tests.Transport.BulkTransfers;

namespace DataPlane.Tests.Transport;

[Collection(CountsOfTheProcess.Name)]
public sealed class ChannelBulkTests
{
    private const int Payload = 512 * 1024;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_whole_payload_takes_one_system_call_on_each_side(bool unix)
    {
        await using var pair = await ChannelPair.ConnectAsync(Token, unix);
        await using var other = Wrap(pair);
        using var source = new NativeBuffer(Payload).Fill(1);
        using NativeBuffer target = new(Payload);

        var sending = OnThread(() => pair.Channel.Send([source.Vector(0, 100), source.Vector(100, Payload - 100)]));
        var received = await OnThread(() => other.Receive(
            [target.Vector(0, Payload - 4096), target.Vector(Payload - 4096, 4096)]));

        Assert.Equal(new TransferResult(Payload, ChannelEnd.None, 0), await sending);
        Assert.Equal(new TransferResult(Payload, ChannelEnd.None, 0), received);
        Assert.True(source.Span.SequenceEqual(target.Span));
        Assert.Equal((1, Payload), (pair.Channel.SendCalls, pair.Channel.BytesSent));
        Assert.Equal((1, Payload), (other.ReceiveCalls, other.BytesReceived));
    }

    [Fact]
    public async Task A_payload_that_comes_byte_by_byte_still_takes_one_call()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using NativeBuffer target = new(500);
        byte[] bytes = [.. Enumerable.Range(0, 500).Select(i => (byte)i)];

        var receiving = OnThread(() => pair.Channel.Receive([target.Whole]));
        pair.Peer.SendSingly(bytes);

        Assert.True((await receiving).Complete);
        Assert.True(target.Span.SequenceEqual(bytes));
        Assert.Equal(1, pair.Channel.ReceiveCalls);
    }

    [Fact]
    public async Task More_vectors_than_the_kernel_takes_go_in_several_calls()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        await using var other = Wrap(pair);
        using var source = new NativeBuffer(3000).Fill(2);
        using NativeBuffer target = new(3000);

        var sent = pair.Channel.Send([.. Enumerable.Range(0, 3000).Select(i => source.Vector(i, 1))]);
        var received = other.Receive([.. Enumerable.Range(0, 3000).Select(i => target.Vector(i, 1))]);

        Assert.Equal((3000, true), (sent.Bytes, sent.Complete));
        Assert.Equal((3000, true), (received.Bytes, received.Complete));
        Assert.True(source.Span.SequenceEqual(target.Span));
        Assert.Equal((3, 3), (pair.Channel.SendCalls, other.ReceiveCalls));
    }

    [Fact]
    public async Task Nothing_to_move_makes_no_call()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using NativeBuffer empty = new(0);
        Assert.True(pair.Channel.Send([]).Complete);
        Assert.True(pair.Channel.Receive([empty.Whole, empty.Whole]).Complete);
        Assert.Equal((0, 0), (pair.Channel.SendCalls, pair.Channel.ReceiveCalls));
    }

    [Fact]
    public async Task Sending_and_receiving_allocate_nothing()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        await using var other = Wrap(pair);
        AssertNoAllocation(pair.Channel, other);
    }

    [Fact]
    public async Task A_socket_that_stream_use_made_non_blocking_still_moves_everything()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        await using var other = Wrap(pair);
        await pair.Channel.Output.WriteAsync(new byte[] { 1 }, Token);
        var first = await other.Input.ReadAsync(Token);
        other.Input.AdvanceTo(first.Buffer.End);
        using var source = new NativeBuffer(32 << 20).Fill(3);
        using NativeBuffer target = new(32 << 20);

        var receiving = OnThread(() => other.Receive([target.Whole]));
        var sent = await OnThread(() => pair.Channel.Send([source.Whole]));

        Assert.True(sent.Complete);
        Assert.True((await receiving).Complete);
        Assert.True(source.Span.SequenceEqual(target.Span));
        Assert.True(other.ReceiveCalls > 1, "a non-blocking receive of 32 MiB cannot be one call");
    }

    [Fact]
    public async Task An_end_at_a_boundary_differs_from_a_torn_record()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using NativeBuffer target = new(10);
        pair.Peer.Send([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).Finish();
        Assert.True(pair.Channel.Receive([target.Whole]).Complete);
        Assert.Equal(new TransferResult(2, ChannelEnd.Closed, 0), pair.Channel.Receive([target.Whole]));
        Assert.Equal(new TransferResult(0, ChannelEnd.Closed, 0), pair.Channel.Receive([target.Whole]));
    }

    [Fact]
    public async Task A_reset_by_the_peer_is_seen_in_both_directions()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using NativeBuffer target = new(10);
        pair.Peer.Reset();
        Assert.Equal(new TransferResult(0, ChannelEnd.Reset, Errno.ECONNRESET), pair.Channel.Receive([target.Whole]));
        Assert.Equal(new TransferResult(0, ChannelEnd.Reset, Errno.EPIPE), pair.Channel.Send([target.Whole]));
    }

    [Fact]
    public async Task Prepended_bytes_come_first_and_span_calls()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using NativeBuffer target = new(8);
        pair.Channel.Prepend([1, 2, 3, 4, 5]);
        pair.Peer.Send([6, 7, 8]);
        Assert.Equal(2, pair.Channel.Receive([target.Vector(0, 1), target.Vector(1, 1)]).Bytes);
        Assert.Equal(0, pair.Channel.ReceiveCalls);
        Assert.Equal(6, pair.Channel.Receive([target.Vector(2, 6)]).Bytes);
        Assert.Equal(1, pair.Channel.ReceiveCalls);
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], target.Span.ToArray());
    }

    [Fact]
    public void Any_split_into_vectors_on_either_side_moves_the_same_bytes()
    {
        var lengths = Gen.Int[0, 3000].Array[1, 40];
        Gen.Select(lengths, lengths, Gen.Int).Sample(
            (left, right, seed) => MoveAsync(left, right, seed).GetAwaiter().GetResult(), iter: 60, threads: 1);

        static async Task<bool> MoveAsync(int[] left, int[] right, int seed)
        {
            await using var pair = await ChannelPair.ConnectAsync(Token, unix: seed % 2 == 0);
            await using var other = Wrap(pair);
            var length = Math.Min(left.Sum(), right.Sum());
            using var source = new NativeBuffer(length).Fill(seed);
            using NativeBuffer target = new(length);
            var outgoing = Split(source, left);
            var incoming = Split(target, right);
            var receiving = OnThread(() => other.Receive(incoming));
            var sent = pair.Channel.Send(outgoing);
            return sent == new TransferResult(length, ChannelEnd.None, 0)
                && await receiving == sent && source.Span.SequenceEqual(target.Span);
        }
    }

    /// <summary>A channel at the peer's end too; the peer's own socket object must not be used any more.</summary>
    private static Channel Wrap(ChannelPair pair) => new(pair.Peer.Socket.SafeHandle, ChannelId.Main, "test", pair.Pool);
}
