using DataPlane.Memory;
using DataPlane.Multifd;
using DataPlane.Multifd.Compression;
using DataPlane.Tests.Multifd.Compression;
using DataPlane.Tests.Support;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Multifd;

/// <summary>What one packet costs, exactly: the numbers that no machine's noise can move.</summary>
[Collection(CountsOfTheProcess.Name)]
public sealed class SteadyStateTests
{
    private const int Packets = 64;

    /// <summary>They bring everything into being: a compressor takes its turns through all that it can meet.</summary>
    private const int FirstPackets = 4;

    [Theory]
    [InlineData(CompressionMethod.Zlib, 1, false)]
    [InlineData(CompressionMethod.Zlib, 9, true)]
    [InlineData(CompressionMethod.Zlib, 0, true)]
    [InlineData(CompressionMethod.Zstd, 1, false)]
    [InlineData(CompressionMethod.Zstd, 3, true)]
    public async Task A_compressed_packet_allocates_nothing_on_either_side(CompressionMethod method, int level, bool mixed)
    {
        using var pool = new BlockPool();
        await using var pair = await ChannelPair.CreateAsync(pool);
        using var source = new GuestMemory(
            [RamBlock.Allocate("pc.ram", Packets * PageBatch.Capacity * (long)TargetPage.Size, RamAllocation.Default)]);
        using var target = new GuestMemory([RamBlock.Allocate("pc.ram", source.TotalBytes, RamAllocation.Default)]);
        var block = source.Blocks[0];
        var pages = new GuestPageSet(source);
        pages[block].SetAll();
        for (var page = 0; page < block.PageCount; page++)
        {
            // Incompressible pages in runs longer than a packet's, and singly.
            var kind = mixed && (page / 200 % 2 == 1 || page % 3 == 0) ? PageKind.Random : PageKind.Text;
            PageContents.Fill(block.Span((long)page * TargetPage.Size, TargetPage.Size), kind, page);
        }

        var sending = Task.Factory.StartNew(
            () => SendAll(pair.Client, pool, source, pages, new CompressionSettings(method, level)),
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default);
        var receiving = Task.Factory.StartNew(
            () => ReceiveAll(pair.Server, pool, target), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        var sent = await sending;
        await pair.Client.DisposeAsync();
        var received = await receiving;

        Assert.Equal(block.PageCount, received.Pages.Count());
        Assert.True(block.Span(0, (int)block.Length).SequenceEqual(target.Blocks[0].Span(0, (int)block.Length)));
        // Nothing per packet. The runtime's own streams now and then make one small object, when their code is compiled anew.
        Assert.InRange(sent.AllocatedBytes, 0, Packets - FirstPackets - 1);
        Assert.InRange(received.AllocatedBytes, 0, Packets - FirstPackets - 1);
        Assert.Equal(Packets, sent.Calls);
        Assert.Equal(Packets * 2, received.Calls); // header and payload of a packet come apart: see MultifdPacketReceiver
    }

    [Theory]
    [InlineData(1)] // contiguous pages
    [InlineData(2)] // every other page: the most vectors
    public async Task A_packet_allocates_nothing_and_takes_one_call_to_send_and_one_to_receive(int stride)
    {
        using var pool = new BlockPool();
        await using var pair = await ChannelPair.CreateAsync(pool);
        using var source = new GuestMemory(
            [RamBlock.Allocate("pc.ram", Packets * PageBatch.Capacity * stride * (long)TargetPage.Size, RamAllocation.Default)]);
        using var target = new GuestMemory([RamBlock.Allocate("pc.ram", source.TotalBytes, RamAllocation.Default)]);
        var block = source.Blocks[0];
        var pages = new GuestPageSet(source);
        for (long page = 0; page < block.PageCount; page += stride)
        {
            pages[block].Set(page);
            block.Span(page * TargetPage.Size, TargetPage.Size).Fill((byte)(page % 255 + 1));
        }

        var sending = Task.Factory.StartNew(
            () => SendAll(pair.Client, pool, source, pages),
            CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        var receiving = Task.Factory.StartNew(
            () => ReceiveAll(pair.Server, pool, target), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        var sent = await sending;
        await pair.Client.DisposeAsync();
        var received = await receiving;

        Assert.Equal(Packets * PageBatch.Capacity, received.Pages.Count());
        foreach (var run in new[] { 0L, 7L * stride, block.PageCount - stride })
        {
            Assert.Equal((byte)(run % 255 + 1), target.Blocks[0].Span(run * TargetPage.Size, 1)[0]);
        }

        Assert.Equal(0, sent.AllocatedBytes);
        Assert.Equal(0, received.AllocatedBytes);
        Assert.Equal(Packets, sent.Calls);
        Assert.Equal(Packets + 1 + 1, received.Calls); // the first header alone, and the end of the stream
    }

    private static (long AllocatedBytes, long Calls) SendAll(
        Channel channel, BlockPool pool, GuestMemory memory, GuestPageSet pages, CompressionSettings compression = default)
    {
        var sender = new MultifdSendChannel(0, pool, new PacketCounter(), compression);
        sender.Attach(channel);
        var feed = new PageFeed(memory, pages);
        var batch = PageBatch.Pool.Get();
        using var header = pool.RentBlock("test");
        long before = 0;
        for (var packet = 1; feed.TryTake(batch); packet++)
        {
            sender.SendPages(batch, header);
            if (packet == FirstPackets)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }
        }

        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        return (allocated, channel.SendCalls);
    }

    private static (long AllocatedBytes, long Calls, ReceivedPages Pages) ReceiveAll(Channel channel, BlockPool pool, GuestMemory memory)
    {
        var owner = new MultifdReceiver(0, pool) { Pages = new ReceivedPages(memory) };
        var receiver = new MultifdPacketReceiver(0, owner);
        using var header = pool.RentBlock("test");
        for (var packet = 0; packet < FirstPackets; packet++)
        {
            Assert.True(receiver.ReceivePacket(channel, header));
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var packet = FirstPackets; packet < Packets; packet++)
        {
            receiver.ReceivePacket(channel, header);
        }

        return (GC.GetAllocatedBytesForCurrentThread() - before, channel.ReceiveCalls, owner.Pages!);
    }
}
