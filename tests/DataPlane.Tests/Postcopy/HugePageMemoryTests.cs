using DataPlane.Linux;
using DataPlane.Postcopy;
using DataPlane.TestSupport;
using DataPlane.Transport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>Missing pages of reserved huge page memory: the kernel places, reports and poisons 2 MiB at a time and nothing less.</summary>
public sealed class HugePageMemoryTests
{
    private const int HugePage = HugePageScene.HugePage;
    private const int SmallPages = HugePage / TargetPage.Size;
    private const int PageCount = HugePageScene.PageCount;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Pages_are_placed_whole_and_only_once(bool shared)
    {
        using var scene = new HugePageScene(shared);
        using var content = new NativeBuffer(2 * HugePage).Fill(1);

        Assert.True(scene.Live.Place(scene.Block, 0, content.Whole.Address, 2 * HugePage));
        Assert.True(scene.Live.PlaceZeros(scene.Block, 2 * HugePage, 2 * HugePage)); // no call for zeros exists
        Assert.Equal(content.Span[..HugePage].ToArray(), scene.Read(0));
        Assert.Equal(content.Span[HugePage..].ToArray(), scene.Read(1));
        Assert.Equal(new byte[HugePage], scene.Read(2));
        Assert.Equal(new byte[HugePage], scene.Read(3));

        using var other = new NativeBuffer(HugePage).Fill(2);
        Assert.False(scene.Live.Place(scene.Block, HugePage, other.Whole.Address, HugePage));
        Assert.False(scene.Live.PlaceZeros(scene.Block, 0, HugePage));
        Assert.Equal(content.Span[..HugePage].ToArray(), scene.Read(0));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_was_received_before_stays_and_everything_else_is_given_up(bool shared)
    {
        using var scene = new HugePageScene(shared, arm: false);
        for (var page = 0; page < PageCount; page++)
        {
            scene.Block.Span(page * HugePage, HugePage).Fill(7);
            scene.Pages.RecordData(scene.Block, page * SmallPages, SmallPages);
        }

        scene.Ledger.Discard(scene.Block, SmallPages, 2 * SmallPages);

        scene.Arm();

        Assert.Equal(7, scene.Read(0)[^1]);
        Assert.Equal(7, scene.Read(3)[0]);
        using var content = new NativeBuffer(HugePage).Fill(1);
        Assert.True(scene.Live.Place(scene.Block, HugePage, content.Whole.Address, HugePage));
        Assert.True(scene.Live.PlaceZeros(scene.Block, 2 * HugePage, HugePage));
        Assert.Equal(content.Span.ToArray(), scene.Read(1));
        Assert.Equal(new byte[HugePage], scene.Read(2));
    }

    [Fact]
    public async Task A_zero_page_that_nobody_has_touched_is_there_without_being_asked_for()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using var scene = new HugePageScene(shared: true, arm: false);
        for (var page = 0; page < SmallPages; page++)
        {
            scene.Pages.PlaceZero(scene.Block, SmallPages + page);
        }

        scene.Arm();
        using var faults = scene.ReadFaults(pair);

        Assert.Equal(new byte[HugePage], await scene.TouchAsync(1));

        Assert.Equal(0, scene.ReturnPath.Requests);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_touch_anywhere_asks_for_the_whole_page_and_sees_nothing_of_it_before_it_is_complete(bool shared)
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using var scene = new HugePageScene(shared);
        using var faults = scene.ReadFaults(pair);
        var inside = Task.Factory.StartNew(
            () => ForeignTouch.Read(scene.Block, SmallPages + 77), Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        var request = new byte[ReturnPathWriter.MaxSize];
        var size = ReturnPathWriter.WriteRequestPages(request, "pc.ram"u8, HugePage, HugePage);
        Assert.Equal(request[..size], await pair.Peer.ReceiveAsync(size, Token));
        var beside = Task.Factory.StartNew(
            () => ForeignTouch.Read(scene.Block, SmallPages), Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        await Eventually.TrueAsync(() => faults.Faults >= 2, "both wait", Token);

        using var assembly = new HostPageAssembly(scene.Arrivals, ChannelId.Main);
        using var content = new NativeBuffer(HugePage).Fill(3);
        for (var page = SmallPages - 1; page >= 0; page--)
        {
            Assert.False(scene.Ledger.IsReceived(scene.Block, SmallPages));
            Assert.False(inside.IsCompleted || beside.IsCompleted);
            assembly.Add(scene.Block, HugePage + (page * TargetPage.Size), content.Whole.Address + (page * TargetPage.Size));
        }

        var limit = TimeSpan.FromSeconds(30);
        Assert.Equal(content.Span.Slice(77 * TargetPage.Size, TargetPage.Size).ToArray(), await inside.WaitAsync(limit, Token));
        Assert.Equal(content.Span[..TargetPage.Size].ToArray(), await beside.WaitAsync(limit, Token));
        Assert.Equal(content.Span.ToArray(), scene.Read(1));
        Assert.Equal(1, scene.ReturnPath.Requests);
        Assert.Empty(scene.Ledger.Open());
        Assert.Equal(SmallPages, scene.Pages.Count());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Poisoned_pages_are_never_read_as_zeros(bool shared)
    {
        using var scene = new HugePageScene(shared);
        using var content = new NativeBuffer(HugePage).Fill(1);
        scene.Arrivals.Place(scene.Block, HugePage, content.Whole.Address, HugePage, ChannelId.Main);

        scene.Live.Poison();

        // A system call says EFAULT where a plain touch would be SIGBUS.
        using var file = LinuxFile.CreateInMemory("probe", TargetPage.Size);
        Assert.Equal(-Errno.EFAULT, ForeignTouch.Write(file, scene.Block, 0));
        Assert.Equal(-Errno.EFAULT, ForeignTouch.Write(file, scene.Block, SmallPages - 1));
        Assert.Equal(TargetPage.Size, ForeignTouch.Write(file, scene.Block, SmallPages));
        Assert.Equal(TargetPage.Size, ForeignTouch.Write(file, scene.Block, (2 * SmallPages) - 1));
        Assert.Equal(-Errno.EFAULT, ForeignTouch.Write(file, scene.Block, 2 * SmallPages));
        Assert.Equal(-Errno.EFAULT, ForeignTouch.Write(file, scene.Block, (PageCount * SmallPages) - 1));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_a_guest_writes_to_huge_pages_is_tracked(bool shared)
    {
        Assert.SkipUnless(PagemapDirtyTracker.IsSupported(out var reason), reason ?? "");
        using var scene = new HugePageScene(shared, arm: false);
        scene.Block.Span(0, 3 * HugePage).Fill(1); // the last one is not there yet
        using var tracker = new PagemapDirtyTracker(scene.Pages.Memory);
        tracker.Start();
        Assert.Equal(0, tracker.Collect(new GuestPageSet(scene.Pages.Memory)));

        scene.Block.Span(HugePage + 77, 1)[0] = 2;
        scene.Block.Span((4 * HugePage) - 1, 1)[0] = 3;

        var dirty = new GuestPageSet(scene.Pages.Memory);
        Assert.Equal(2 * SmallPages, tracker.Collect(dirty));
        Assert.True(dirty[scene.Block][SmallPages] && dirty[scene.Block][(4 * SmallPages) - 1]);
        Assert.Equal(0, tracker.Collect(dirty));
    }

    [Fact]
    public void Memory_that_the_system_does_not_have_is_refused_with_the_setting_that_would_give_it()
    {
        var failure = Assert.ThrowsAny<IOException>(() => RamBlock.Allocate(
            "pc.ram", 1L << 40, RamAllocation.Default with { HostPageSize = HugePage }));

        Assert.Contains("vm.nr_hugepages", failure.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Memory_of_which_nothing_was_received_is_given_up_altogether(bool shared)
    {
        using var scene = new HugePageScene(shared, arm: false);
        scene.Block.Span(0, PageCount * HugePage).Fill(7);

        scene.Arm();

        Assert.True(scene.Live.PlaceZeros(scene.Block, 0, PageCount * HugePage));
        Assert.Equal(new byte[HugePage], scene.Read(0));
        Assert.Equal(new byte[HugePage], scene.Read(3));
    }

    /// <summary>The machine's number of huge pages is made smaller while they are in use: nothing for a test beside others.</summary>
    [Theory(Explicit = true)]
    [InlineData(false)]
    [InlineData(true)]
    public void A_page_for_which_the_system_has_none_left_is_no_page_that_was_there(bool shared)
    {
        using var unused = ReservedHugePages.TakeUnused();
        using var scene = new HugePageScene(shared, arm: false);
        scene.Block.Span(0, PageCount * HugePage).Fill(7);
        using var content = new NativeBuffer(HugePage).Fill(3);
        var more = ReservedHugePages.For(PageCount * HugePage);
        using (var other = RamBlock.Allocate(
            "other", PageCount * HugePage, RamAllocation.Default with { HostPageSize = HugePage, Populate = true }))
        {
            more.Dispose(); // what is given up now leaves the pool
            scene.Arm();
            var failure = Assert.Throws<LinuxException>(() => scene.Live.Place(scene.Block, 0, content.Whole.Address, HugePage));
            Assert.Equal(Errno.ENOMEM, failure.Errno);
        }

        using var again = ReservedHugePages.For(PageCount * HugePage);
        Assert.True(scene.Live.Place(scene.Block, 0, content.Whole.Address, HugePage));
        Assert.False(scene.Live.Place(scene.Block, 0, content.Whole.Address, HugePage));
        Assert.Equal(content.Span.ToArray(), scene.Read(0));
    }
}
