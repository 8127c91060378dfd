using DataPlane.Linux;
using DataPlane.Postcopy;
using DataPlane.TestSupport;
using DataPlane.Transport;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>Missing pages: waited for, placed, asked for once. Every touch is outside of managed code.</summary>
public sealed class UserfaultPageStoreTests
{
    private const int PageCount = 16;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Pages_are_placed_whole_and_only_once(bool shared)
    {
        LiveGuest.RequireUserfaultfd();
        using var scene = new Scene(shared);
        using var content = new NativeBuffer(TargetPage.Size).Fill(1);

        Assert.True(scene.Live.Place(scene.Block, 0, content.Whole.Address, TargetPage.Size));
        Assert.True(scene.Live.PlaceZeros(scene.Block, TargetPage.Size, TargetPage.Size));
        Assert.Equal(content.Span.ToArray(), ForeignTouch.Read(scene.Block, 0));
        Assert.Equal(new byte[TargetPage.Size], ForeignTouch.Read(scene.Block, 1));

        using var other = new NativeBuffer(TargetPage.Size).Fill(2);
        Assert.False(scene.Live.Place(scene.Block, 0, other.Whole.Address, TargetPage.Size));
        Assert.False(scene.Live.PlaceZeros(scene.Block, 0, TargetPage.Size));
        Assert.Equal(content.Span.ToArray(), ForeignTouch.Read(scene.Block, 0));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_was_received_before_stays_and_everything_else_is_given_up(bool shared)
    {
        LiveGuest.RequireUserfaultfd();
        using var scene = new Scene(shared, arm: false);
        scene.Block.Span(0, PageCount * TargetPage.Size).Fill(7);
        scene.Pages.RecordData(scene.Block, 0, 4);
        scene.Ledger.Discard(scene.Block, 2, 1);
        scene.Pages.PlaceZero(scene.Block, 5); // known to be zero: never written

        scene.Live.Arm();

        Assert.Equal(7, ForeignTouch.Read(scene.Block, 3)[0]);
        Assert.Equal([true, true, false, true, false], Enumerable.Range(0, 5).Select(page => scene.Pages.HoldingData(scene.Block)[page]));
        using var content = new NativeBuffer(TargetPage.Size).Fill(1);
        Assert.True(scene.Live.Place(scene.Block, 2 * TargetPage.Size, content.Whole.Address, TargetPage.Size));
        Assert.Equal(content.Span.ToArray(), ForeignTouch.Read(scene.Block, 2));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_is_given_up_ahead_is_missing_and_its_neighbours_stay(bool shared)
    {
        LiveGuest.RequireUserfaultfd();
        using var scene = new Scene(shared, arm: false);
        scene.Block.Span(0, PageCount * TargetPage.Size).Fill(7);
        scene.Pages.RecordData(scene.Block, 0, PageCount - 2);
        scene.Ledger.Discard(scene.Block, 2, 3);

        scene.Live.Drop(scene.Block, 2, 3);
        scene.Live.Arm();

        Assert.Equal(
            [.. Enumerable.Range(0, PageCount - 2).Select(static page => page is < 2 or > 4)],
            Enumerable.Range(0, PageCount - 2).Select(page => scene.Pages.HoldingData(scene.Block)[page]));
        using var content = new NativeBuffer(TargetPage.Size).Fill(1);
        for (var page = 0; page < PageCount; page++)
        {
            var isMissing = page is (>= 2 and <= 4) or >= PageCount - 2;
            Assert.Equal(isMissing, scene.Live.Place(scene.Block, page * TargetPage.Size, content.Whole.Address, TargetPage.Size));
            Assert.Equal(isMissing ? content.Span[0] : 7, ForeignTouch.Read(scene.Block, page)[0]);
        }
    }

    [Fact]
    public async Task A_zero_page_that_nobody_has_touched_is_there_without_being_asked_for()
    {
        LiveGuest.RequireUserfaultfd();
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using var scene = new Scene(shared: false, arm: false);
        scene.Pages.PlaceZero(scene.Block, 5);
        scene.Live.Arm();
        using var faults = scene.ReadFaults(pair);

        Assert.Equal(new byte[TargetPage.Size], ForeignTouch.Read(scene.Block, 5));

        Assert.Equal(0, scene.ReturnPath.Requests);
    }

    [Fact]
    public async Task A_page_is_asked_for_once_however_many_threads_wait_for_it()
    {
        LiveGuest.RequireUserfaultfd();
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using var scene = new Scene(shared: false);
        using var faults = scene.ReadFaults(pair);
        var readers = Enumerable.Range(0, 8).Select(_ => Task.Factory.StartNew(
            () => ForeignTouch.Read(scene.Block, 3), Token, TaskCreationOptions.LongRunning, TaskScheduler.Default)).ToArray();

        var request = new byte[ReturnPathWriter.MaxSize];
        var size = ReturnPathWriter.WriteRequestPages(request, "pc.ram"u8, 3 * TargetPage.Size, TargetPage.Size);
        Assert.Equal(request[..size], await pair.Peer.ReceiveAsync(size, Token));
        await Eventually.TrueAsync(() => faults.Faults >= readers.Length, "all of them wait", Token);
        Assert.Equal((scene.Block, 3L), Assert.Single(scene.Ledger.Open()));

        using var content = new NativeBuffer(TargetPage.Size).Fill(1);
        scene.Arrivals.Place(scene.Block, 3 * TargetPage.Size, content.Whole.Address, TargetPage.Size, ChannelId.Main);
        foreach (var reader in readers)
        {
            Assert.Equal(content.Span.ToArray(), await reader.WaitAsync(TimeSpan.FromSeconds(30), Token));
        }

        Assert.Equal(1, scene.ReturnPath.Requests);
        Assert.Empty(scene.Ledger.Open());

        // The next one goes without the name.
        var next = Task.Factory.StartNew(
            () => ForeignTouch.Read(scene.Block, 4), Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        size = ReturnPathWriter.WriteRequestPages(request, 4 * TargetPage.Size, TargetPage.Size);
        Assert.Equal(request[..size], await pair.Peer.ReceiveAsync(size, Token));
        scene.Arrivals.PlaceZeros(scene.Block, 4 * TargetPage.Size, TargetPage.Size, ChannelId.Main);
        Assert.Equal(new byte[TargetPage.Size], await next);
    }

    [Theory]
    [InlineData(false, true)]
    [InlineData(true, true)]
    [InlineData(false, false)]
    [InlineData(true, false)]
    public void Poisoned_pages_are_never_read_as_zeros(bool shared, bool kernelCanPoison)
    {
        LiveGuest.RequireUserfaultfd();
        using var scene = new Scene(shared, wanted: kernelCanPoison ? UserfaultFeatures.Poison : UserfaultFeatures.None);
        using var content = new NativeBuffer(TargetPage.Size).Fill(1);
        scene.Arrivals.Place(scene.Block, 0, content.Whole.Address, TargetPage.Size, ChannelId.Main);

        scene.Live.Poison();

        // A system call says EFAULT where a plain touch would be SIGBUS or SIGSEGV.
        using var file = LinuxFile.CreateInMemory("probe", TargetPage.Size);
        Assert.Equal(TargetPage.Size, ForeignTouch.Write(file, scene.Block, 0));
        Assert.Equal(-Errno.EFAULT, ForeignTouch.Write(file, scene.Block, 1));
        Assert.Equal(-Errno.EFAULT, ForeignTouch.Write(file, scene.Block, PageCount - 1));
    }

    /// <summary>A vCPU's thread that waits is not left waiting, on kernels that cannot poison either.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Who_waits_for_a_page_hears_that_it_never_comes(bool kernelCanPoison)
    {
        LiveGuest.RequireUserfaultfd();
        using var scene = new Scene(shared: false, wanted: kernelCanPoison ? UserfaultFeatures.Poison : UserfaultFeatures.None);
        using var file = LinuxFile.CreateInMemory("probe", TargetPage.Size);
        var waiting = Task.Factory.StartNew(
            () => ForeignTouch.Write(file, scene.Block, 3), Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        using (var stop = new EventFd())
        {
            Assert.True(scene.Live.Faults.WaitForFaults(stop));
        }

        scene.Live.Poison();
        Assert.Equal(-Errno.EFAULT, await waiting.WaitAsync(TimeSpan.FromSeconds(30), Token));
    }

    /// <summary>
    /// Where a block can be closed in no way, whoever waits goes on waiting, also when nobody remembers the memory any more: the collector
    /// would close its userfaultfd, and the reader would get zeros.
    /// </summary>
    [Fact]
    public async Task Memory_that_cannot_be_closed_to_its_readers_keeps_them_waiting_through_every_collection()
    {
        LiveGuest.RequireUserfaultfd();
        using var file = LinuxFile.CreateInMemory("probe", TargetPage.Size);
        var (block, memory) = Abandon();
        var waiting = Task.Factory.StartNew(
            () => ForeignTouch.Write(file, block, 3), Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        for (var i = 0; i < 5; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        // A page that was received is there; of the others every touch waits. Had the registration gone, this would be done at once.
        using var another = LinuxFile.CreateInMemory("probe", TargetPage.Size); // the kernel locks a file while somebody writes to it
        Assert.Equal(TargetPage.Size, ForeignTouch.Write(another, block, 0));
        Assert.False(waiting.IsCompleted);
        Assert.True(IsRegistered(block));
        Assert.True(UserfaultPageStore.KeptForEver.TryTake(out var kept));
        kept.Dispose();
        Assert.Equal(TargetPage.Size, await waiting.WaitAsync(TimeSpan.FromSeconds(30), Token));
        memory.Dispose();

        [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
        static (RamBlock Block, GuestMemory Memory) Abandon()
        {
            var scene = new Scene(shared: false);
            using var content = new NativeBuffer(TargetPage.Size).Fill(1);
            scene.Arrivals.Place(scene.Block, 0, content.Whole.Address, TargetPage.Size, ChannelId.Main);
            Assert.ThrowsAny<IOException>(() => scene.Live.Poison(static (_, _, _) => throw new LinuxException("mprotect", Errno.EACCES)));
            return (scene.Block, scene.Pages.Memory);
        }
    }

    /// <summary>Whether the kernel still handles missing pages there: <c>um</c> among the flags of its mapping.</summary>
    private static bool IsRegistered(RamBlock block)
    {
        var start = $"{(ulong)block.Address:x}-";
        var lines = File.ReadLines("/proc/self/smaps").SkipWhile(line => !line.StartsWith(start, StringComparison.Ordinal));
        return lines.First(static line => line.StartsWith("VmFlags:", StringComparison.Ordinal)).Contains(" um", StringComparison.Ordinal);
    }

    private sealed class Scene : IDisposable
    {
        public Scene(bool shared, bool arm = true, UserfaultFeatures wanted = UserfaultFeatures.Poison)
        {
            Block = RamBlock.Allocate(
                "pc.ram", PageCount * TargetPage.Size, RamAllocation.Default with { HugePages = false, Shared = shared });
            Pages = new ReceivedPages(new GuestMemory([Block]));
            Ledger = new PageLedger(Pages, static _ => TargetPage.Size);
            Live = new UserfaultPageStore(Pages, Ledger, wanted);
            Arrivals = new PageArrivals(Live, Ledger, Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
            if (arm)
            {
                Live.Arm();
            }
        }

        public RamBlock Block { get; }

        public ReceivedPages Pages { get; }

        public PageLedger Ledger { get; }

        public UserfaultPageStore Live { get; }

        public PageArrivals Arrivals { get; }

        public PostcopyReturnPath ReturnPath { get; } = new();

        public FaultReader ReadFaults(ChannelPair pair)
        {
            ReturnPath.Use(pair.Channel);
            ReturnPath.AllowRequests(Ledger);
            return new FaultReader(Live, Ledger, ReturnPath, static failure => Assert.Fail(failure.ToString()));
        }

        public void Dispose()
        {
            Live.Release();
            Pages.Memory.Dispose();
        }
    }
}
