using BenchmarkDotNet.Attributes;
using DataPlane.Memory;

namespace DataPlane.Benchmarks.Memory;

/// <summary>What first touch costs, by kind of memory; freeing it is part of the time.</summary>
[Throughput(Bytes)]
public class PopulateBenchmarks
{
    private const long Bytes = 1L << 30;

    [Benchmark(Baseline = true)]
    public long HugePages() => Populate(new RamAllocation { HugePages = true, Populate = true });

    [Benchmark]
    public long SmallPages() => Populate(new RamAllocation { HugePages = false, Populate = true });

    [Benchmark]
    public long SharedMemory() => Populate(new RamAllocation { HugePages = true, Populate = true, Shared = true });

    private static long Populate(RamAllocation options)
    {
        using var block = RamBlock.Allocate("ram", Bytes, options);
        return ZeroPage.IsZero(block.Span(Bytes - TargetPage.Size, TargetPage.Size))
            ? block.PageCount
            : throw new InvalidOperationException("Fresh memory is not zero.");
    }
}
