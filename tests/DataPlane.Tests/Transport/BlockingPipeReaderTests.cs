using System.Buffers;
using System.IO.Pipelines;
using CsCheck;
using DataPlane.Linux;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class BlockingPipeReaderTests
{
    private const int BlockBytes = 256;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public void Whatever_is_consumed_and_examined_every_byte_comes_once_and_in_order() =>
        Gen.Select(Gen.Int[1, 400].Array[1, 60], Gen.Int[1, 700], Gen.Int).Sample((pieces, step, seed) =>
        {
            var random = new Random(seed);
            using var pool = new BlockPool(blockBytes: BlockBytes);
            var source = new Source(pieces);
            var reader = new BlockingPipeReader(source.Receive, pool, "test");
            byte expected = 0;
            long taken = 0;
            for (var result = Read(reader); !result.IsCompleted || !result.Buffer.IsEmpty; result = Read(reader))
            {
                foreach (var one in result.Buffer.ToArray())
                {
                    Assert.Equal(expected++, one);
                }

                // Everything up to the end has been seen; a part of it is left, unless there is no more to come.
                var consumed = result.IsCompleted ? result.Buffer.Length : Math.Min(result.Buffer.Length, random.Next(step));
                expected -= (byte)(result.Buffer.Length - consumed);
                taken += consumed;
                reader.AdvanceTo(result.Buffer.GetPosition(consumed), result.Buffer.End);
            }

            Assert.Equal(pieces.Sum(), taken);
            reader.Complete();
            Assert.Equal(0, pool.OutstandingBlocks);
        });

    [Fact]
    public void A_short_rest_stays_in_one_piece()
    {
        using var pool = new BlockPool(blockBytes: BlockBytes);
        var reader = new BlockingPipeReader(new Source([.. Enumerable.Repeat(BlockBytes, 50)]).Receive, pool, "test");
        for (var i = 0; i < 40; i++)
        {
            var result = Read(reader);
            Assert.True(result.Buffer.IsSingleSegment);
            reader.AdvanceTo(result.Buffer.GetPosition(result.Buffer.Length - 100), result.Buffer.End);
        }

        Assert.Equal(1, pool.OutstandingBlocks);
        reader.Complete();
    }

    [Fact]
    public void What_is_left_unseen_is_returned_without_receiving()
    {
        using var pool = new BlockPool(blockBytes: BlockBytes);
        var source = new Source([3, 3]);
        var reader = new BlockingPipeReader(source.Receive, pool, "test");
        reader.AdvanceTo(Read(reader).Buffer.Start);
        var again = Read(reader);
        Assert.Equal([0, 1, 2], again.Buffer.ToArray());
        Assert.Equal(1, source.Calls);
        reader.AdvanceTo(again.Buffer.End);
        Assert.False(reader.TryRead(out _));
        reader.CancelPendingRead();
        Assert.True(Read(reader).IsCanceled);
        Assert.Equal([3, 4, 5], Read(reader).Buffer.ToArray());
        reader.Complete();
        reader.Complete();
        Assert.Equal(0, pool.OutstandingBlocks);
    }

    [Fact]
    public void In_the_steady_state_nothing_is_allocated()
    {
        using var pool = new BlockPool(blockBytes: BlockBytes);
        var reader = new BlockingPipeReader(Endless, pool, "test");
        Turn(reader);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Turn(reader);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        reader.Complete();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task An_abort_ends_a_read_that_waits(bool cancellable)
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        var reader = pair.Channel.OpenReader(cancellable);
        var reading = Task.Run(() => Read(reader), CancellationToken.None);
        await Task.Delay(50, Token); // so that it waits, as a rule
        pair.Channel.Abort();
        var failure = await Assert.ThrowsAsync<ChannelException>(() => reading.WaitAsync(TimeSpan.FromMinutes(1), Token));
        Assert.Equal((ChannelEnd.Aborted, "main"), (failure.End, failure.Channel));
    }

    [Fact]
    public async Task A_reset_is_an_exception_with_the_channels_name()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        pair.Peer.Reset();
        var failure = Assert.Throws<ChannelException>(() => Read(pair.Channel.OpenReader()));
        Assert.Equal((ChannelEnd.Reset, "main"), (failure.End, failure.Channel));
    }

    private static int Endless(IoVec room, EventFd? wake, string? doing) => (int)room.Length;

    /// <summary>Reads a thousand times and leaves a part in two blocks every time.</summary>
    private static void Turn(BlockingPipeReader reader)
    {
        for (var i = 0; i < 1000; i++)
        {
            var buffer = Read(reader).Buffer;
            reader.AdvanceTo(buffer.GetPosition(buffer.Length > BlockBytes ? buffer.Length - 1 : 1), buffer.End);
        }
    }

    private static ReadResult Read(BlockingPipeReader reader)
    {
        var reading = reader.ReadAsync(CancellationToken.None);
        return reading.IsCompleted ? reading.Result : throw new InvalidOperationException("a read of this pipe completes at once");
    }

    /// <summary>Counts from 0 on, in pieces of these sizes at most.</summary>
    private sealed class Source(int[] pieces)
    {
        private int _next;
        private int _given;
        private byte _value;

        public int Calls { get; private set; }

        public unsafe int Receive(IoVec room, EventFd? wake, string? doing)
        {
            Calls++;
            if (_next == pieces.Length)
            {
                return 0;
            }

            var count = Math.Min((int)room.Length, pieces[_next] - _given);
            foreach (ref var one in new Span<byte>((void*)room.Address, count))
            {
                one = _value++;
            }

            _given += count;
            if (_given == pieces[_next])
            {
                (_next, _given) = (_next + 1, 0);
            }

            return count;
        }
    }
}
