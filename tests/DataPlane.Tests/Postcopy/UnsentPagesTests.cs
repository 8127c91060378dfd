using CsCheck;
using DataPlane.Memory;
using DataPlane.Postcopy;
using Xunit;

namespace DataPlane.Tests.Postcopy;

public sealed class UnsentPagesTests
{
    private const long HugePage = 2 << 20;

    [Fact]
    public void Every_page_is_claimed_once_whoever_is_faster() =>
        Gen.Select(Gen.Long[0, 299].Array[0, 120], Gen.Long[0, 299].Array[0, 60]).Sample((unsent, asked) =>
        {
            using var memory = Memory();
            var pages = new UnsentPages(Set(memory, unsent), new HostPages(memory), holdingData: null);
            var claimed = new List<(RamBlock, long)>();
            var claim = new PageClaim();
            foreach (var page in asked)
            {
                var (block, number) = Place(memory, page);
                if (pages.TryClaim(block, number, out var run))
                {
                    claimed.AddRange(PagesOf(run));
                }

                if (pages.TryClaimNext(claim))
                {
                    claimed.AddRange(claim.Runs.ToArray().SelectMany(PagesOf));
                }
            }

            while (pages.TryClaimNext(claim))
            {
                claimed.AddRange(claim.Runs.ToArray().SelectMany(PagesOf));
            }

            return claimed.Count == claimed.Distinct().Count()
                && claimed.ToHashSet().SetEquals(unsent.Select(page => Place(memory, page))) && pages.BackgroundLeft == 0;
        });

    [Fact]
    public async Task Two_threads_never_claim_the_same_page()
    {
        using var memory = Memory();
        var all = new GuestPageSet(memory);
        all.SetAll();
        var pages = new UnsentPages(all, new HostPages(memory), holdingData: null);
        var asked = Task.Run(() =>
        {
            var random = new Random(7);
            var taken = 0L;
            for (var i = 0; i < 2000; i++)
            {
                var (block, number) = Place(memory, random.Next(300));
                taken += pages.TryClaim(block, number, out var run) ? run.PageCount : 0;
            }

            return taken;
        }, TestContext.Current.CancellationToken);
        var claim = new PageClaim();
        var background = 0L;
        while (pages.TryClaimNext(claim))
        {
            background += claim.PageCount;
        }

        Assert.Equal(300, background + await asked);
    }

    [Fact]
    public void The_background_goes_on_behind_the_page_that_was_asked_for()
    {
        using var memory = Memory();
        var all = new GuestPageSet(memory);
        all.SetAll();
        var pages = new UnsentPages(all, new HostPages(memory), holdingData: null);
        Assert.True(pages.TryClaim(memory.Blocks[0], 57, out var asked));
        Assert.Equal(new PageRun(memory.Blocks[0], 57, 1), asked);
        var claim = new PageClaim();
        Assert.True(pages.TryClaimNext(claim));
        Assert.Equal([new PageRun(memory.Blocks[0], 58, PageClaim.Capacity)], claim.Runs.ToArray());
        Assert.False(pages.TryClaim(memory.Blocks[0], 60, out _));
    }

    [Fact]
    public void Pages_known_to_be_zero_go_only_when_they_are_asked_for()
    {
        using var memory = Memory();
        var all = new GuestPageSet(memory);
        all.SetAll();
        var pages = new UnsentPages(all, new HostPages(memory), holdingData: Set(memory, [5, 6, 120, 290]));
        Assert.Equal(4, pages.BackgroundLeft);
        Assert.True(pages.TryClaim(memory.Blocks[0], 5, out _));
        Assert.True(pages.TryClaim(memory.Blocks[0], 50, out _));
        Assert.False(pages.TryClaim(memory.Blocks[0], 50, out _));
        Assert.Equal(3, pages.BackgroundLeft);
        var claim = new PageClaim();
        var background = new List<(RamBlock, long)>();
        while (pages.TryClaimNext(claim))
        {
            background.AddRange(claim.Runs.ToArray().SelectMany(PagesOf));
        }

        Assert.Equal(
            [Place(memory, 6), Place(memory, 120), Place(memory, 290)],
            background.OrderBy(static page => page.Item1.Index).ThenBy(static page => page.Item2));
        Assert.True(pages.TryClaim(memory.Blocks[1], 199, out _));
    }

    [Fact]
    public void Huge_pages_are_claimed_as_a_whole()
    {
        using var memory = HugeMemory();
        var unsent = new GuestPageSet(memory);
        unsent[memory.Blocks[0]].Set(600);
        unsent[memory.Blocks[0]].Set(1535);
        var pages = new UnsentPages(unsent, Huge(memory), holdingData: null);
        Assert.Equal(1024, pages.BackgroundLeft);
        Assert.True(pages.TryClaim(memory.Blocks[0], 700, out var asked));
        Assert.Equal(new PageRun(memory.Blocks[0], 512, 512), asked);
        Assert.False(pages.TryClaim(memory.Blocks[0], 5, out _));
        var claim = new PageClaim();
        Assert.True(pages.TryClaimNext(claim));
        Assert.Equal([new PageRun(memory.Blocks[0], 1024, 512)], claim.Runs.ToArray());
        Assert.False(pages.TryClaimNext(claim));
    }

    [Fact]
    public void Host_pages_are_told_with_all_sizes()
    {
        using var memory = HugeMemory();
        Assert.Equal(0x1000ul, new HostPages(memory).Summary);
        Assert.Equal(0x201000ul, Huge(memory).Summary);
        Assert.Equal(HugePage, Huge(memory).SizeOf(memory.Blocks[0]));
        Assert.Equal(4096, Huge(memory).SizeOf(memory.Blocks[1]));
        (string Name, long Size)[] wrong = [("none", 4096), ("huge", 6000), ("huge", 2048), ("huge", 1L << 30), ("rom", HugePage)];
        foreach (var (name, size) in wrong)
        {
            Assert.Throws<ArgumentException>(() => new HostPages(memory, new Dictionary<string, long> { [name] = size }));
        }
    }

    private static HostPages Huge(GuestMemory memory) => new(memory, new Dictionary<string, long> { ["huge"] = HugePage });

    private static GuestMemory Memory() => new(
        [RamBlock.Allocate("pc.ram", 100 * 4096, RamAllocation.Default), RamBlock.Allocate("vga", 200 * 4096, RamAllocation.Default)]);

    private static GuestMemory HugeMemory() => new(
        [RamBlock.Allocate("huge", 4 * HugePage, RamAllocation.Default), RamBlock.Allocate("rom", 8192, RamAllocation.Default)]);

    private static (RamBlock Block, long Page) Place(GuestMemory memory, long page) =>
        page < 100 ? (memory.Blocks[0], page) : (memory.Blocks[1], page - 100);

    private static IEnumerable<(RamBlock Block, long Page)> PagesOf(PageRun run)
    {
        for (var i = 0; i < run.PageCount; i++)
        {
            yield return (run.Block, run.FirstPage + i);
        }
    }

    private static GuestPageSet Set(GuestMemory memory, IEnumerable<long> pages)
    {
        var set = new GuestPageSet(memory);
        foreach (var (block, page) in pages.Select(page => Place(memory, page)))
        {
            set[block].Set(page);
        }

        return set;
    }
}
