using DataPlane.Linux;
using DataPlane.MainStream;
using DataPlane.Transport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.MainStream;

public sealed class PageRecordTests
{
    [Fact]
    public void Pages_are_read_and_placed_without_allocating()
    {
        using var memory = new GuestMemory(
            [RamBlock.Allocate(RecordedStream.Block, 4 * TargetPage.Size, RamAllocation.Default with { HugePages = false })]);
        var pages = new ReceivedPages(memory);
        var records = new RecordedStream().Page(1, RecordedStream.PageContent(1)).PageAgain(2, RecordedStream.PageContent(2)).ZeroAgain(3);
        using var pool = new BlockPool();
        using var cancel = new CancellationTokenSource();
        var stream = new StreamCursor(new BlockingPipeReader(new Loop(records.Bytes).Receive, pool, "test"), ChannelId.Main)
        {
            Cancellation = cancel.Token,
        };
        var decoder = new PageRecordDecoder(stream, mayBeEncoded: true) { Memory = memory };
        var placer = new PagePlacer(stream, pages, multifd: false);
        Place(3000);

        var before = GC.GetAllocatedBytesForCurrentThread();
        Place(3000);

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal((4000, 2000), (placer.NormalPages, placer.ZeroPages));
        Assert.Equal(RecordedStream.PageContent(2), memory.Blocks[0].Span(2 * TargetPage.Size, TargetPage.Size).ToArray());
        stream.Complete();
        Assert.Equal(0, pool.OutstandingBlocks);

        void Place(int count)
        {
            for (var i = 0; i < count; i++)
            {
                placer.Place(decoder.Read());
            }
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Encoded_pages_belong_to_precopy_alone(bool mayBeEncoded)
    {
        using var memory = new GuestMemory(
            [RamBlock.Allocate(RecordedStream.Block, TargetPage.Size, RamAllocation.Default with { HugePages = false })]);
        var bytes = new RecordedStream().Record(RamFlags.Xbzrle, 0, "nowhere").Bytes;
        using var pool = new BlockPool();
        var stream = new StreamCursor(new BlockingPipeReader(new Loop(bytes).Receive, pool, "test"), ChannelId.Main);
        var decoder = new PageRecordDecoder(stream, mayBeEncoded) { Memory = memory };
        if (mayBeEncoded)
        {
            Assert.Contains("unknown RAM block 'nowhere'", Assert.Throws<ChannelException>(() => decoder.Read()).Message,
                StringComparison.Ordinal);
        }
        else
        {
            Assert.Equal(RamFlags.Xbzrle, decoder.Read().Kind); // whoever takes no such page says so itself
        }

        stream.Complete();
    }

    /// <summary>The same bytes again and again.</summary>
    private sealed class Loop(byte[] bytes)
    {
        private int _position;

        public unsafe int Receive(IoVec room, EventFd? wake, string? doing)
        {
            var target = new Span<byte>((void*)room.Address, (int)room.Length);
            for (var filled = 0; filled < target.Length;)
            {
                var count = Math.Min(target.Length - filled, bytes.Length - _position);
                bytes.AsSpan(_position, count).CopyTo(target[filled..]);
                filled += count;
                _position = (_position + count) % bytes.Length;
            }

            return target.Length;
        }
    }
}
