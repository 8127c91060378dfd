using BenchmarkDotNet.Attributes;

namespace DataPlane.Benchmarks.Memory;

/// <summary>
/// Kernel dirty tracking on 1 GiB. Writing is inside the time where there are dirty pages: that is what the guest pays for being tracked.
/// </summary>
public class DirtyTrackerBenchmarks
{
    private const long Bytes = 1L << 30;
    private const long Pages = Bytes / TargetPage.Size;

    private GuestMemory? _memory;
    private GuestPageSet? _dirty;
    private PagemapDirtyTracker? _tracker;

    [Params(false, true)]
    public bool HugePages { get; set; }

    [GlobalSetup]
    public void Allocate()
    {
        if (!PagemapDirtyTracker.IsSupported(out var reason))
        {
            throw new NotSupportedException(reason);
        }

        _memory = new GuestMemory([RamBlock.Allocate("ram", Bytes, new RamAllocation { HugePages = HugePages, Populate = true })]);
        _dirty = new GuestPageSet(_memory);
        _tracker = new PagemapDirtyTracker(_memory);
        _tracker.Start();
    }

    [GlobalCleanup]
    public void Free()
    {
        _tracker?.Dispose();
        _memory?.Dispose();
    }

    [Benchmark(Baseline = true)]
    public long CollectClean() => WriteAndCollect(0);

    [Benchmark]
    public long Write1000PagesAndCollect() => WriteAndCollect(1000);

    [Benchmark]
    public long WriteAllPagesAndCollect() => WriteAndCollect(Pages);

    [Benchmark]
    public long StopAndStart()
    {
        _tracker!.Stop();
        _tracker.Start();
        return WriteAndCollect(0);
    }

    private long WriteAndCollect(long pages)
    {
        var block = _memory!.Blocks[0];
        for (long i = 0; i < pages; i++)
        {
            block.Span(i * (Pages / pages) * TargetPage.Size, 1)[0]++;
        }

        var reported = _tracker!.Collect(_dirty!);
        return reported == pages ? reported : throw new InvalidOperationException($"{reported} pages reported, {pages} written.");
    }
}
