using CsCheck;
using DataPlane.Memory;
using DataPlane.Tool.Bench;
using DataPlane.Tool.CommandLine;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class WorkloadTests
{
    private const long RamBytes = 4 << 20;

    private static Workload Busy(long bytesPerSecond = 1L << 40, long? window = null) => new(
        new WorkloadOptions { RamBytes = RamBytes, DirtyBytesPerSecond = bytesPerSecond, DirtyWindowBytes = window }, TimeProvider.System);

    private static void WaitForWrites(Workload guest, long more)
    {
        var from = guest.PagesWritten;
        Assert.True(SpinWait.SpinUntil(() => guest.PagesWritten >= from + more, TimeSpan.FromSeconds(60)), "the guest does not write");
    }

    [Fact]
    public void Between_pause_and_resume_not_a_byte_changes_and_after_resume_it_does()
    {
        using var guest = Busy();
        for (var round = 0; round < 20; round++)
        {
            guest.Resume();
            WaitForWrites(guest, 100);
            guest.Pause();
            Assert.True(guest.IsPaused);
            var written = guest.PagesWritten;
            var before = MemoryDigest.Compute(guest.Block);
            Assert.Equal(before, MemoryDigest.Compute(guest.Block));
            Assert.Equal(written, guest.PagesWritten);
        }
    }

    [Fact]
    public void It_starts_paused_and_a_guest_without_a_rate_never_writes()
    {
        using (var busy = Busy())
        {
            Assert.True(busy.IsPaused && busy.PagesWritten == 0);
        }

        using var idle = Busy(bytesPerSecond: 0);
        var before = MemoryDigest.Compute(idle.Block);
        idle.Resume();
        idle.Pause();
        Assert.Equal(before, MemoryDigest.Compute(idle.Block));
    }

    [Fact]
    public void Every_write_is_in_the_record_and_nothing_else_is()
    {
        using var guest = Busy(window: 1 << 20);
        var before = guest.Block.Span(0, (int)RamBytes).ToArray();
        var tracker = guest.RecordedTracker;
        tracker.Start();
        guest.Resume();
        WaitForWrites(guest, 100);
        guest.Pause();
        var dirty = new GuestPageSet(guest.Memory);
        tracker.Collect(dirty);
        for (long page = 0; page < guest.Block.PageCount; page++)
        {
            var offset = (int)(page * TargetPage.Size);
            var changed = !guest.Block.Span(offset, TargetPage.Size).SequenceEqual(before.AsSpan(offset, TargetPage.Size));
            Assert.Equal(changed, dirty[guest.Block][page]);
            Assert.True(!changed || page < (1 << 20) / TargetPage.Size, "a write outside the window");
        }

        Assert.True(dirty.CountSet() > 0);
    }

    [Fact]
    public void The_tracker_reports_every_page_that_changed()
    {
        using var guest = Busy();
        using var tracker = guest.CreateTracker(out var reason);
        Assert.Equal(tracker is PagemapDirtyTracker, reason is null);
        var before = guest.Block.Span(0, (int)RamBytes).ToArray();
        tracker.Start();
        guest.Resume();
        WaitForWrites(guest, 100);
        guest.Pause();
        var dirty = new GuestPageSet(guest.Memory);
        tracker.Collect(dirty);
        for (long page = 0; page < guest.Block.PageCount; page++)
        {
            var offset = (int)(page * TargetPage.Size);
            var changed = !guest.Block.Span(offset, TargetPage.Size).SequenceEqual(before.AsSpan(offset, TargetPage.Size));
            Assert.True(!changed || dirty[guest.Block][page], $"page {page} changed unnoticed");
        }
    }

    [Fact]
    public void Its_own_cpu_time_is_counted()
    {
        using var guest = Busy();
        guest.Resume();
        Assert.True(SpinWait.SpinUntil(() => guest.CpuTime > TimeSpan.Zero, TimeSpan.FromSeconds(60)));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4095)]
    [InlineData(-4096)]
    public void A_size_that_is_no_multiple_of_a_page_is_refused(long bytes) =>
        Assert.Equal(ExitCode.Usage, Assert.Throws<CommandException>(() => new WorkloadOptions { RamBytes = bytes }.Validate()).ExitCode);

    [Fact]
    public void The_share_of_zero_pages_is_as_asked_and_all_other_pages_differ()
    {
        Gen.Int[0, 100].Sample(percent =>
        {
            using var block = RamBlock.Allocate("ram", RamBytes, RamAllocation.Default);
            MemoryFill.Fill(block, percent, seed: 7);
            var seen = new HashSet<ulong>();
            long zero = 0;
            for (long page = 0; page < block.PageCount; page++)
            {
                var bytes = block.Span(page * TargetPage.Size, TargetPage.Size);
                var isZero = ZeroPage.IsZero(bytes);
                zero += isZero ? 1 : 0;
                Assert.Equal(MemoryFill.IsZeroPage(page, percent), isZero);
                Assert.True(isZero || seen.Add(BitConverter.ToUInt64(bytes)), $"page {page} repeats another");
            }

            // In whole runs of zero pages, of which this memory has 64.
            Assert.InRange(zero, (block.PageCount * percent / 100) - MemoryFill.PagesPerRun, block.PageCount * percent / 100);
        }, iter: 20);
    }

    [Fact]
    public void The_same_seed_gives_the_same_memory_and_another_seed_another()
    {
        using var block = RamBlock.Allocate("ram", RamBytes, RamAllocation.Default);
        var digests = new List<string>();
        foreach (var seed in (ulong[])[1, 2, 1])
        {
            MemoryFill.Fill(block, 10, seed);
            digests.Add(MemoryDigest.Compute(block));
        }

        Assert.Equal(digests[0], digests[2]);
        Assert.NotEqual(digests[0], digests[1]);
    }

    /// <summary>A file of sysfs is said to have 4096 bytes and has a few, as any file that is cut while it is read.</summary>
    [Fact]
    public void A_memory_file_that_ends_before_its_length_is_refused()
    {
        const string Short = "/sys/kernel/uevent_seqnum";
        Assert.SkipUnless(File.Exists(Short) && new FileInfo(Short).Length >= TargetPage.Size, "there is no sysfs here");
        using var block = RamBlock.Allocate("ram", RamBytes, RamAllocation.Default);
        var error = Assert.Throws<CommandException>(() => MemoryFill.FromFile(block, 0, Short));
        Assert.Equal($"--memory-file: '{Short}' ends before the length that it is said to have", error.Message);
    }

    [Fact]
    public void Every_single_bit_counts_in_the_digest()
    {
        // More than one chunk, and a last one that is not full.
        using var block = RamBlock.Allocate("ram", MemoryChunks.Size + (3 * TargetPage.Size), RamAllocation.Default);
        MemoryFill.Fill(block, 50, seed: 3);
        var before = MemoryDigest.Compute(block);
        Gen.Select(Gen.Long[0, block.Length - 1], Gen.Int[0, 7]).Sample(
            (offset, bit) =>
            {
                block.Span(offset, 1)[0] ^= (byte)(1 << bit);
                var differs = MemoryDigest.Compute(block) != before;
                block.Span(offset, 1)[0] ^= (byte)(1 << bit);
                return differs;
            },
            iter: 20, threads: 1);
        Assert.Equal(before, MemoryDigest.Compute(block));
    }

    [Fact]
    public void The_page_order_visits_every_page_of_the_window_once_per_lap() =>
        Gen.Int[1, 5000].Sample(pages =>
        {
            var order = new PageOrder(pages);
            var seen = new HashSet<long>();
            for (var i = 0; i < pages; i++)
            {
                Assert.True(seen.Add(order.Next()));
            }

            Assert.True(seen.Min() == 0 && seen.Max() == pages - 1);
        }, iter: 200);

    [Fact]
    public void The_pacer_gives_the_rate_exactly_however_the_time_is_cut() =>
        Gen.Int[1, 90].Array[1, 200].Sample(steps =>
        {
            var time = new FakeTimeProvider();
            var pacer = new WritePacer(time, writesPerSecond: 1000);
            var taken = 0;
            foreach (var milliseconds in steps)
            {
                time.Advance(TimeSpan.FromMilliseconds(milliseconds));
                taken += pacer.Take(int.MaxValue);
            }

            // One write may be in fractions still.
            Assert.InRange(taken, steps.Sum() - 1, steps.Sum());
        });

    [Fact]
    public void The_pacer_neither_catches_up_a_long_gap_nor_counts_a_pause()
    {
        var time = new FakeTimeProvider();
        var pacer = new WritePacer(time, writesPerSecond: 1000);
        time.Advance(TimeSpan.FromHours(1));
        Assert.Equal(100, pacer.Take(int.MaxValue));
        time.Advance(TimeSpan.FromHours(1));
        pacer.Restart();
        Assert.Equal(0, pacer.Take(int.MaxValue));
        time.Advance(TimeSpan.FromMilliseconds(50));
        Assert.Equal(30, pacer.Take(30));
        Assert.Equal(20, pacer.Take(30));
    }
}
