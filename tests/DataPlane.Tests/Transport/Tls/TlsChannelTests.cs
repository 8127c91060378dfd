using System.IO.Pipelines;
using System.Net.Sockets;
using CsCheck;
using DataPlane.Linux;
using DataPlane.Tests.Support;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;
using static DataPlane.Tests.Transport.BulkTransfers;

namespace DataPlane.Tests.Transport.Tls;

[Collection(CountsOfTheProcess.Name)]
public sealed class TlsChannelTests : IDisposable
{
    private const int Payload = 512 * 1024;

    private readonly TestAuthority _authority = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose() => _authority.Dispose();

    [Fact]
    public async Task A_packet_arrives_and_the_counters_count_what_is_inside()
    {
        await using var pair = await TlsPair.ConnectAsync(_authority, Token);
        using var source = new NativeBuffer(Payload).Fill(1);
        using NativeBuffer target = new(Payload);

        var sending = OnThread(() => pair.Client.Send([source.Vector(0, 1344), source.Vector(1344, Payload - 1344)]));
        var received = await OnThread(() => pair.Server.Receive([target.Vector(0, Payload - 4096), target.Vector(Payload - 4096, 4096)]));

        Assert.Equal(new TransferResult(Payload, ChannelEnd.None, 0), await sending);
        Assert.Equal(new TransferResult(Payload, ChannelEnd.None, 0), received);
        Assert.True(source.Span.SequenceEqual(target.Span));
        Assert.Equal(Payload, pair.Client.BytesSent);
        Assert.Equal(Payload, pair.Server.BytesReceived);
        // Eight records to a call: 33 records, the header's own among them.
        Assert.InRange(pair.Client.SendCalls, 1, 5);
    }

    [Fact]
    public async Task What_is_there_is_enough_where_any_bytes_are()
    {
        await using var pair = await TlsPair.ConnectAsync(_authority, Token);
        using var source = new NativeBuffer(100).Fill(1);
        using NativeBuffer target = new(4096);
        IoVec[] outgoing = [source.Vector(0, 100)];

        Assert.True(pair.Client.Send(outgoing).Complete);

        Assert.Equal(new TransferResult(30, ChannelEnd.None, 0), pair.Server.ReceiveSome(target.Vector(0, 30)));
        Assert.Equal(new TransferResult(70, ChannelEnd.None, 0), pair.Server.ReceiveSome(target.Vector(30, 4066)));
        Assert.True(source.Span.SequenceEqual(target.Span[..100]));
    }

    /// <summary>
    /// A connection that is reset still gives what had arrived before. Whoever sends on it notices the reset first, and must not take those
    /// bytes away from whoever reads.
    /// </summary>
    [Fact]
    public async Task A_send_that_fails_drops_nothing_that_is_still_to_be_read()
    {
        const int Total = 100_000, First = 1000;
        await using var pair = await TlsPair.ConnectAsync(_authority, Token);
        using var source = new NativeBuffer(Total).Fill(1);
        using NativeBuffer target = new(Total);
        Assert.True(pair.Client.Send([source.Vector(0, Total)]).Complete);
        Assert.True(pair.Server.Receive([target.Vector(0, First)]).Complete);

        pair.Client.Abort();
        await Eventually.TrueAsync(() => !pair.Server.Send([source.Vector(0, First)]).Complete, "the reset is noticed", Token);
        var rest = pair.Server.Receive([target.Vector(First, Total - First)]);

        Assert.Equal(new TransferResult(Total - First, ChannelEnd.None, 0), rest);
        Assert.True(source.Span.SequenceEqual(target.Span));
    }

    [Fact]
    public void Any_vectors_move_any_bytes()
    {
        var lengths = Gen.Int[0, 60_000].Array[1, 12];
        Gen.Select(lengths, lengths, Gen.Int).Sample(
            (left, right, seed) => MoveAsync(left, right, seed).GetAwaiter().GetResult(), iter: 20, threads: 1);

        async Task<bool> MoveAsync(int[] left, int[] right, int seed)
        {
            await using var pair = await TlsPair.ConnectAsync(_authority, Token);
            var length = Math.Min(left.Sum(), right.Sum());
            using var source = new NativeBuffer(length).Fill(seed);
            using NativeBuffer target = new(length);
            var outgoing = Split(source, left);
            var incoming = Split(target, right);
            var receiving = OnThread(() => pair.Client.Receive(incoming));
            var sent = pair.Server.Send(outgoing);
            return sent == new TransferResult(length, ChannelEnd.None, 0)
                && await receiving == sent && source.Span.SequenceEqual(target.Span);
        }
    }

    [Fact]
    public async Task Both_directions_work_at_once()
    {
        const int Bytes = 16 << 20;
        await using var pair = await TlsPair.ConnectAsync(_authority, Token);
        using var there = new NativeBuffer(Bytes).Fill(1);
        using var back = new NativeBuffer(Bytes).Fill(2);
        using NativeBuffer arrived = new(Bytes);
        using NativeBuffer returned = new(Bytes);

        var results = await Task.WhenAll(
            OnThread(() => pair.Client.Send([there.Whole])), OnThread(() => pair.Server.Receive([arrived.Whole])),
            OnThread(() => pair.Server.Send([back.Whole])), OnThread(() => pair.Client.Receive([returned.Whole])));

        Assert.All(results, result => Assert.True(result.Complete));
        Assert.True(there.Span.SequenceEqual(arrived.Span));
        Assert.True(back.Span.SequenceEqual(returned.Span));
    }

    [Fact]
    public async Task Bulk_use_allocates_nothing()
    {
        await using var pair = await TlsPair.ConnectAsync(_authority, Token);
        AssertNoAllocation(pair.Client, pair.Server);
    }

    [Fact]
    public async Task Streams_work_beside_bulk_use_of_the_other_direction()
    {
        await using var pair = await TlsPair.ConnectAsync(_authority, Token);
        var bytes = new byte[3 << 20];
        new Random(1).NextBytes(bytes);

        var writing = pair.Client.Output.WriteAsync(bytes, Token);
        var read = await ReadAsync(pair.Server.Input, bytes.Length);
        await writing;
        using var word = new NativeBuffer(100).Fill(3);
        using NativeBuffer heard = new(100);
        var hearing = OnThread(() => pair.Client.Receive([heard.Whole]));
        Assert.True(pair.Server.Send([word.Whole]).Complete);

        Assert.True((await hearing).Complete);
        Assert.True(word.Span.SequenceEqual(heard.Span));
        Assert.Equal(bytes, read);
    }

    [Fact]
    public async Task A_server_says_nothing_after_the_handshake_so_a_client_that_never_reads_may_close()
    {
        await using var pair = await TlsPair.ConnectAsync(_authority, Token);
        using NativeBuffer one = new(1);
        Assert.True(pair.Client.Send([one.Whole]).Complete);
        Assert.True((await OnThread(() => pair.Server.Receive([one.Whole]))).Complete);

        using Socket client = new(new SafeSocketHandle(pair.Client.Handle.DangerousGetHandle(), ownsHandle: false));
        Assert.Equal(0, client.Available);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_end_between_records_is_an_end_with_or_without_close_notify(bool closeNotify)
    {
        await using var pair = await TlsPair.ConnectAsync(_authority, Token);
        using var source = new NativeBuffer(100).Fill(1);
        using NativeBuffer target = new(100);
        if (closeNotify)
        {
            pair.Client.EndWithCloseNotify();
        }

        Assert.True(pair.Client.Send([source.Whole]).Complete);
        var closing = pair.Client.CloseAsync(TimeSpan.FromSeconds(30), Token).AsTask();

        Assert.True((await OnThread(() => pair.Server.Receive([target.Whole]))).Complete);
        Assert.Equal(new TransferResult(0, ChannelEnd.Closed, 0), await OnThread(() => pair.Server.Receive([target.Whole])));
        await pair.Server.DisposeAsync();
        Assert.True(await closing);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(60)]
    public async Task An_end_inside_a_record_is_a_tear(int bytesOfRecord)
    {
        await using var pair = await TlsPair.ConnectAsync(_authority, Token);
        using NativeBuffer target = new(100);
        byte[] torn = [23, 3, 3, 1, 0, .. new byte[256]];
        using (Socket raw = new(new SafeSocketHandle(pair.Client.Handle.DangerousGetHandle(), ownsHandle: false)))
        {
            raw.Send(torn.AsSpan(0, bytesOfRecord));
            raw.Shutdown(SocketShutdown.Send);
        }

        var result = await OnThread(() => pair.Server.Receive([target.Whole]));
        var e = ChannelException.From(result, pair.Server, "reading");
        Assert.Equal(FailureReason.PeerClosed, e.Reason);
        Assert.Contains("inside a TLS record", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_record_that_is_not_genuine_ends_the_channel()
    {
        await using var pair = await TlsPair.ConnectAsync(_authority, Token);
        using NativeBuffer target = new(100);
        using (Socket raw = new(new SafeSocketHandle(pair.Client.Handle.DangerousGetHandle(), ownsHandle: false)))
        {
            raw.Send([23, 3, 3, 0, 40, .. new byte[40]]);
        }

        var result = await OnThread(() => pair.Server.Receive([target.Whole]));
        Assert.False(result.Complete);
        Assert.Equal(FailureReason.TlsFailed, ChannelException.From(result, pair.Server, "reading").Reason);
        Assert.Equal(0, result.Bytes);
    }

    [Fact]
    public async Task Abort_brings_a_waiting_thread_back()
    {
        await using var pair = await TlsPair.ConnectAsync(_authority, Token);
        using NativeBuffer target = new(100);
        var receiving = OnThread(() => pair.Server.Receive([target.Whole]));

        pair.Server.Abort();

        Assert.Equal(ChannelEnd.Aborted, (await receiving).End);
    }

    private static async Task<byte[]> ReadAsync(PipeReader reader, int length)
    {
        var result = await reader.ReadAtLeastAsync(length, Token);
        var bytes = System.Buffers.BuffersExtensions.ToArray(result.Buffer);
        reader.AdvanceTo(result.Buffer.End);
        return bytes;
    }
}
