using BenchmarkDotNet.Attributes;
using DataPlane.Memory;

namespace DataPlane.Benchmarks.Memory;

/// <summary>The zero test over more memory than any cache holds. Target: 25 GB/s on one core.</summary>
[MemoryDiagnoser]
[Throughput(Bytes)]
public class ZeroPageBenchmarks
{
    private const long Bytes = 512L << 20;
    private const long Pages = Bytes / TargetPage.Size;

    private RamBlock? _ram;

    [GlobalSetup]
    public void Allocate()
        => _ram = RamBlock.Allocate("ram", Bytes, new RamAllocation { HugePages = true, Populate = true });

    [GlobalCleanup]
    public void Free() => _ram?.Dispose();

    [Benchmark(Baseline = true)]
    public unsafe long BestPath()
    {
        long zero = 0;
        for (nint page = _ram!.Address, end = page + (nint)Bytes; page < end; page += TargetPage.Size)
        {
            zero += ZeroPage.IsZero((byte*)page) ? 1 : 0;
        }

        return Checked(zero);
    }

    [Benchmark]
    public unsafe long Vector256Path()
    {
        long zero = 0;
        for (nint page = _ram!.Address, end = page + (nint)Bytes; page < end; page += TargetPage.Size)
        {
            zero += ZeroPage.IsZero256(ref *(byte*)page) ? 1 : 0;
        }

        return Checked(zero);
    }

    [Benchmark]
    public unsafe long PortablePath()
    {
        long zero = 0;
        for (nint page = _ram!.Address, end = page + (nint)Bytes; page < end; page += TargetPage.Size)
        {
            zero += ZeroPage.IsZeroPortable(new ReadOnlySpan<byte>((byte*)page, TargetPage.Size)) ? 1 : 0;
        }

        return Checked(zero);
    }

    private static long Checked(long zeroPages)
        => zeroPages == Pages ? zeroPages : throw new InvalidOperationException($"{zeroPages} of {Pages} pages are zero.");
}
