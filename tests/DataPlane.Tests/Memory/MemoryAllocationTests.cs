using DataPlane.Memory;
using DataPlane.Tests.Support;
using Xunit;

namespace DataPlane.Tests.Memory;

/// <summary>What runs per packet or per page allocates nothing on the managed heap.</summary>
[Collection(CountsOfTheProcess.Name)]
public sealed class MemoryAllocationTests : IDisposable
{
    private readonly GuestMemory _memory = new(
        [RamBlock.Allocate("pc.ram", 4096 * TargetPage.Size, new RamAllocation { HugePages = false, Populate = true })]);

    private RamBlock Ram => _memory.Blocks[0];

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void Looking_up_blocks_allocates_nothing()
    {
        byte[] name = "pc.ram"u8.ToArray(), unknown = "pc.rom"u8.ToArray();
        AssertAllocatesNothing(
            () => _memory.TryGetBlock(name, out _) && !_memory.TryGetBlock(unknown, out _) && _memory.TryGetBlock("pc.ram", out _));
    }

    [Fact]
    public void Changing_and_scanning_bitmaps_allocates_nothing()
    {
        PageBitmap pages = new(4096), other = new(4096);
        AssertAllocatesNothing(() =>
        {
            pages.SetRange(10, 100);
            pages.SetRangeAtomic(1000, 500);
            pages.ClearRange(20, 10);
            pages.ClearRangeAtomic(1100, 2);
            pages.UnionWith(other);
            pages.TakeAtomic(other);
            long found = 0;
            for (long from = 0; pages.TryFindSetRun(from, 128, out var first, out var count); from = first + count)
            {
                found += count;
            }

            return found == pages.CountSet() && pages.Words.Length == 64;
        });
    }

    [Fact]
    public void Looking_at_pages_allocates_nothing()
    {
        var run = new PageRun(Ram, 3, 4);
        AssertAllocatesNothing(() => ZeroPage.IsZero(Ram.Span(run.Offset, TargetPage.Size)) && run.Address != 0 && IsZero(run.Address));
    }

    [Fact]
    public void Recording_and_collecting_writes_allocates_nothing()
    {
        using var tracker = new RecordedDirtyTracker(_memory);
        var dirty = new GuestPageSet(_memory);
        tracker.Start();
        AssertAllocatesNothing(() =>
        {
            tracker.MarkWritten(Ram, 7, 3);
            return tracker.Collect(dirty) == 3;
        });
    }

    [Fact]
    public void Collecting_from_the_kernel_allocates_nothing()
    {
        Assert.SkipUnless(PagemapDirtyTracker.IsSupported(out var reason), reason ?? "");
        using var tracker = new PagemapDirtyTracker(_memory);
        var dirty = new GuestPageSet(_memory);
        tracker.Start();
        AssertAllocatesNothing(() =>
        {
            Ram.Span(5 * TargetPage.Size, 1)[0]++;
            return tracker.Collect(dirty) == 1;
        });
    }

    private static unsafe bool IsZero(nint page) => ZeroPage.IsZero((byte*)page);

    private static void AssertAllocatesNothing(Func<bool> body)
    {
        for (var i = 0; i < 10; i++)
        {
            Assert.True(body());
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        var right = true;
        for (var i = 0; i < 100; i++)
        {
            right &= body();
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.True(right);
    }
}
