using System.Net;
using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.Memory;
using Xunit;

namespace DataPlane.Tests.Memory;

public sealed class PagemapDirtyTrackerTests
{
    private const int Page = TargetPage.Size;
    private const int HugePagePages = 512;

    /// <summary>Private and shared memory, in 4 KiB pages.</summary>
    public static TheoryData<bool> Shared => [false, true];

    public PagemapDirtyTrackerTests()
        => Assert.SkipUnless(PagemapDirtyTracker.IsSupported(out var reason), reason ?? "");

    [Theory]
    [MemberData(nameof(Shared))]
    public void Exactly_the_pages_written_are_reported_once(bool shared)
    {
        using var memory = SmallPages(shared, populate: true, 300, 5000);
        using var tracker = new PagemapDirtyTracker(memory);
        Write(memory, 0, 1);
        tracker.Start();
        Assert.Empty(Collect(tracker, memory));

        Write(memory, 0, 0);
        Write(memory, 0, 299);
        Write(memory, 1, 17);
        Write(memory, 1, 18);
        Write(memory, 1, 4999);

        Assert.Equal([(0, 0), (0, 299), (1, 17), (1, 18), (1, 4999)], Collect(tracker, memory));
        Assert.Empty(Collect(tracker, memory));
        Write(memory, 1, 18);
        Assert.Equal([(1, 18)], Collect(tracker, memory));
    }

    [Theory]
    [MemberData(nameof(Shared))]
    public void Reading_is_not_writing_even_where_no_page_was_yet(bool shared)
    {
        using var memory = SmallPages(shared, populate: false, 3000);
        using var tracker = new PagemapDirtyTracker(memory);
        tracker.Start();

        Assert.True(ZeroPage.IsZero(memory.Blocks[0].Span(0, 3000 * Page)));
        Assert.Empty(Collect(tracker, memory));
        Write(memory, 0, 1234);
        Assert.Equal([(0, 1234)], Collect(tracker, memory));
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    [InlineData(true, true)]
    public void Memory_that_may_have_huge_pages_reports_every_page_written(bool populate, bool shared)
    {
        using var block = RamBlock.Allocate(
            "ram", 8 * HugePagePages * Page, new RamAllocation { HugePages = true, Populate = populate, Shared = shared });
        using var memory = new GuestMemory([block]);
        using var tracker = new PagemapDirtyTracker(memory);
        tracker.Start();
        Assert.True(ZeroPage.IsZero(block.Span(0, (int)block.Length)));
        Assert.Empty(Collect(tracker, memory));

        Write(memory, 0, 3 * HugePagePages + 7);
        // One byte in a huge page: the kernel splits it and only the page written is dirty.
        Assert.Equal([(0, 3 * HugePagePages + 7)], Collect(tracker, memory));

        long[] pages = [0, 3 * HugePagePages + 8, 5 * HugePagePages, 8 * HugePagePages - 1];
        foreach (var page in pages)
        {
            Write(memory, 0, page);
        }

        Assert.Equal(pages.Select(page => (0, page)), Collect(tracker, memory));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Discarded_pages_are_reported_since_their_bytes_changed(bool hugePages)
    {
        using var block = RamBlock.Allocate(
            "ram", 4 * HugePagePages * Page, new RamAllocation { HugePages = hugePages, Populate = true });
        using var memory = new GuestMemory([block]);
        using var tracker = new PagemapDirtyTracker(memory);
        block.Span(0, (int)block.Length).Fill(1);
        tracker.Start();

        // A whole huge page, whose page table goes with it, and one small page.
        Assert.Equal(0, MemoryCalls.Advise(block.Address, HugePagePages * Page, MemoryCalls.AdviceDontNeed));
        Assert.Equal(0, MemoryCalls.Advise(block.Address + 2 * HugePagePages * Page, Page, MemoryCalls.AdviceDontNeed));

        var expected = Enumerable.Range(0, HugePagePages).Append(2 * HugePagePages).Select(page => (0, (long)page));
        Assert.Equal(expected, Collect(tracker, memory));
        Assert.Equal(0, block.Span(0, 1)[0]);
        Assert.Empty(Collect(tracker, memory));
    }

    [Fact]
    public void More_regions_than_one_system_call_returns_are_all_reported()
    {
        using var memory = SmallPages(false, populate: true, 10_000);
        using var tracker = new PagemapDirtyTracker(memory);
        tracker.Start();
        (int, long)[] expected = [.. Enumerable.Range(0, 5000).Select(i => (0, 2L * i))];
        foreach ((_, var page) in expected)
        {
            Write(memory, 0, page);
        }

        Assert.Equal(expected, Collect(tracker, memory));
    }

    [Theory]
    [MemberData(nameof(Shared))]
    public void Bytes_that_a_file_read_puts_there_are_writes(bool shared)
    {
        using var memory = SmallPages(shared, populate: true, 64);
        using var tracker = new PagemapDirtyTracker(memory);
        using var file = LinuxFile.CreateInMemory("source", 2 * Page);
        tracker.Start();

        Assert.Equal(2 * Page, RandomAccess.Read(file, memory.Blocks[0].Span(10 * Page, 2 * Page), 0));

        Assert.Equal([(0, 10), (0, 11)], Collect(tracker, memory));
    }

    [Theory]
    [MemberData(nameof(Shared))]
    public void Bytes_that_a_socket_receives_are_writes(bool shared)
    {
        using var memory = SmallPages(shared, populate: true, 64);
        using var tracker = new PagemapDirtyTracker(memory);
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using var sender = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        sender.Connect(listener.LocalEndPoint!);
        using var receiver = listener.Accept();
        tracker.Start();

        sender.Send(new byte[Page]);
        var target = memory.Blocks[0].Span(20 * Page + 100, Page);
        while (!target.IsEmpty)
        {
            target = target[receiver.Receive(target)..];
        }

        Assert.Equal([(0, 20), (0, 21)], Collect(tracker, memory));
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public async Task No_write_of_several_threads_is_ever_missed(bool shared, bool hugePages)
    {
        const int Writers = 3;
        using var block = RamBlock.Allocate(
            "ram", 4096 * Page, new RamAllocation { HugePages = hugePages, Populate = true, Shared = shared });
        using var memory = new GuestMemory([block]);
        using var tracker = new PagemapDirtyTracker(memory);

        // A destination made only from what the tracker reports must equal the source once the writers have stopped.
        var destination = new byte[block.Length];
        var dirty = new GuestPageSet(memory);
        using var stop = new CancellationTokenSource();
        long written = 0;
        tracker.Start();
        block.Span(0, destination.Length).CopyTo(destination);
        Task[] writers = [.. Enumerable.Range(0, Writers).Select(writer => Task.Run(() =>
        {
            var random = new Random(writer);
            while (!stop.IsCancellationRequested)
            {
                var at = random.Next(destination.Length);
                block.Span(at, 1)[0]++;
                Interlocked.Increment(ref written);
            }
        }))];
        for (var round = 0; round < 200 || Interlocked.Read(ref written) < 100_000; round++)
        {
            tracker.Collect(dirty);
            CopyDirty(block, dirty, destination);
        }
        await stop.CancelAsync();
        await Task.WhenAll(writers);
        tracker.Collect(dirty);
        CopyDirty(block, dirty, destination);

        Assert.True(block.Span(0, destination.Length).SequenceEqual(destination));
    }

    [Fact]
    public void Pages_reported_are_counted_and_added_to_those_in_the_set()
    {
        using var memory = SmallPages(false, populate: true, 64);
        using var tracker = new PagemapDirtyTracker(memory);
        tracker.Start();
        var dirty = new GuestPageSet(memory);
        dirty[memory.Blocks[0]].SetRange(0, 10);
        Write(memory, 0, 9);
        Write(memory, 0, 10);

        Assert.Equal(2, tracker.Collect(dirty));
        Assert.Equal(11, dirty.CountSet());
    }

    [Fact]
    public void Tracking_stops_and_starts_again()
    {
        using var memory = SmallPages(false, populate: true, 64);
        using var tracker = new PagemapDirtyTracker(memory);
        Assert.Throws<InvalidOperationException>(() => Collect(tracker, memory));
        tracker.Start();
        Assert.Throws<InvalidOperationException>(tracker.Start);
        Write(memory, 0, 1);
        tracker.Stop();
        tracker.Stop();
        Assert.Throws<InvalidOperationException>(() => Collect(tracker, memory));

        tracker.Start();
        Assert.Empty(Collect(tracker, memory));
        Write(memory, 0, 2);
        Assert.Equal([(0, 2)], Collect(tracker, memory));
    }

    [Fact]
    public void Memory_tracked_by_one_tracker_is_refused_to_a_second_which_leaves_nothing_behind()
    {
        using var memory = SmallPages(false, populate: true, 8);
        using PagemapDirtyTracker first = new(memory), second = new(memory);
        first.Start();

        var e = Assert.Throws<LinuxException>(second.Start);
        Assert.Equal(("ioctl(UFFDIO_REGISTER)", Errno.EBUSY), (e.Call, e.Errno));
        first.Stop();
        second.Start();
    }

    private static GuestMemory SmallPages(bool shared, bool populate, params int[] pageCounts)
        => new([.. pageCounts.Select((pages, i) => RamBlock.Allocate(
            $"block{i}", (long)pages * Page, new RamAllocation { HugePages = false, Populate = populate, Shared = shared }))]);

    private static void Write(GuestMemory memory, int block, long page)
        => memory.Blocks[block].Span(page * Page + page % Page, 1)[0] ^= 1;

    private static List<(int Block, long Page)> Collect(PagemapDirtyTracker tracker, GuestMemory memory)
    {
        var dirty = new GuestPageSet(memory);
        var reported = tracker.Collect(dirty);
        var pages = new List<(int, long)>();
        foreach (var block in memory.Blocks)
        {
            for (long page = 0; page < block.PageCount; page++)
            {
                if (dirty[block][page])
                {
                    pages.Add((block.Index, page));
                }
            }
        }
        Assert.Equal(pages.Count, reported);
        return pages;
    }

    private static void CopyDirty(RamBlock block, GuestPageSet dirty, byte[] destination)
    {
        var pages = dirty[block];
        for (long from = 0; pages.TryFindSetRun(from, 64, out var first, out var count); from = first + count)
        {
            block.Span(first * Page, (int)count * Page).CopyTo(destination.AsSpan((int)first * Page));
        }

        pages.ClearAll();
    }
}
