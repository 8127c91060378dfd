using DataPlane.Benchmarks.Memory;
using Xunit;

namespace DataPlane.Tests.Memory;

/// <summary>Every benchmark body of the room runs once and gives the right answer; bodies check themselves too and throw.</summary>
public sealed class MemoryBenchmarkTests
{
    [Fact]
    public void Zero_page_benchmarks_find_all_pages_zero()
    {
        var benchmarks = new ZeroPageBenchmarks();
        benchmarks.Allocate();
        try
        {
            const long Pages = (512L << 20) / 4096;
            Assert.Equal(Pages, benchmarks.BestPath());
            Assert.Equal(Pages, benchmarks.Vector256Path());
            Assert.Equal(Pages, benchmarks.PortablePath());
        }
        finally
        {
            benchmarks.Free();
        }
    }

    [Fact]
    public void Bitmap_benchmarks_find_the_pages_that_are_set()
    {
        var benchmarks = new PageBitmapBenchmarks();
        benchmarks.Fill();

        Assert.Equal(0, benchmarks.ScanClean());
        Assert.Equal(16_778, benchmarks.ScanOnePageInAThousand());
        Assert.Equal(16_777_216, benchmarks.ScanAllInRunsOf128());
        Assert.Equal(16_777_216, benchmarks.CountFull());
    }

    [Fact]
    public void Populate_benchmarks_get_their_memory()
    {
        var benchmarks = new PopulateBenchmarks();

        Assert.Equal([262_144, 262_144, 262_144], new[] { benchmarks.HugePages(), benchmarks.SmallPages(), benchmarks.SharedMemory() });
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Dirty_tracking_benchmarks_report_what_they_wrote(bool hugePages)
    {
        Assert.SkipUnless(PagemapDirtyTracker.IsSupported(out var reason), reason ?? "");
        var benchmarks = new DirtyTrackerBenchmarks { HugePages = hugePages };
        benchmarks.Allocate();
        try
        {
            Assert.Equal(0, benchmarks.CollectClean());
            Assert.Equal(1000, benchmarks.Write1000PagesAndCollect());
            Assert.Equal(262_144, benchmarks.WriteAllPagesAndCollect());
            Assert.Equal(0, benchmarks.StopAndStart());
        }
        finally
        {
            benchmarks.Free();
        }
    }
}
