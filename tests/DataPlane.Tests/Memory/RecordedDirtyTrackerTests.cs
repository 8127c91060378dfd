using Xunit;

namespace DataPlane.Tests.Memory;

public sealed class RecordedDirtyTrackerTests : IDisposable
{
    private const int Page = TargetPage.Size;

    private readonly GuestMemory _memory = new(
    [
        RamBlock.Allocate("a", 100 * Page, RamAllocation.Default),
        RamBlock.Allocate("b", 1000 * Page, RamAllocation.Default),
    ]);

    private RamBlock A => _memory.Blocks[0];

    private RamBlock B => _memory.Blocks[1];

    public void Dispose() => _memory.Dispose();

    [Fact]
    public void What_was_marked_is_reported_once_and_counted()
    {
        using var tracker = new RecordedDirtyTracker(_memory);
        var dirty = new GuestPageSet(_memory);
        dirty[B].Set(5);
        tracker.Start();
        tracker.MarkWritten(A, 99, 1);
        tracker.MarkWritten(B, 5, 200);

        Assert.Equal(201, tracker.Collect(dirty));
        Assert.Equal(201, dirty.CountSet());
        Assert.True(dirty[A][99] && dirty[B][5] && dirty[B][204] && !dirty[B][205]);
        Assert.Equal(0, tracker.Collect(dirty));
    }

    [Fact]
    public void What_was_marked_before_the_start_is_forgotten()
    {
        using var tracker = new RecordedDirtyTracker(_memory);
        tracker.MarkWritten(A, 0, 100);
        tracker.Start();

        Assert.Equal(0, tracker.Collect(new GuestPageSet(_memory)));
    }

    [Fact]
    public void Pages_outside_the_block_and_blocks_of_others_are_refused()
    {
        using var tracker = new RecordedDirtyTracker(_memory);
        using var other = RamBlock.Allocate("a", Page, RamAllocation.Default);

        Assert.Throws<ArgumentOutOfRangeException>(() => tracker.MarkWritten(A, 100, 1));
        Assert.Throws<ArgumentException>(() => tracker.MarkWritten(other, 0, 1));
    }

    [Fact]
    public void Collecting_needs_a_start_and_starting_twice_is_refused()
    {
        using var tracker = new RecordedDirtyTracker(_memory);
        var dirty = new GuestPageSet(_memory);
        Assert.Throws<InvalidOperationException>(() => tracker.Collect(dirty));
        tracker.Start();
        Assert.Throws<InvalidOperationException>(tracker.Start);
        tracker.Stop();
        tracker.Stop();
        Assert.Throws<InvalidOperationException>(() => tracker.Collect(dirty));
        tracker.Start();
        Assert.Equal(0, tracker.Collect(dirty));
    }

    [Fact]
    public async Task Writers_that_mark_after_writing_lose_nothing()
    {
        using var tracker = new RecordedDirtyTracker(_memory);
        var destination = new byte[B.Length];
        var dirty = new GuestPageSet(_memory);
        using var stop = new CancellationTokenSource();
        long written = 0;
        tracker.Start();
        Task[] writers = [.. Enumerable.Range(0, 3).Select(writer => Task.Run(() =>
        {
            var random = new Random(writer);
            while (!stop.IsCancellationRequested)
            {
                var at = random.Next(destination.Length);
                B.Span(at, 1)[0]++;
                tracker.MarkWritten(B, at / Page, 1);
                Interlocked.Increment(ref written);
            }
        }))];
        for (var round = 0; round < 200 || Interlocked.Read(ref written) < 200_000; round++)
        {
            tracker.Collect(dirty);
            CopyDirty(dirty, destination);
        }
        await stop.CancelAsync();
        await Task.WhenAll(writers);
        tracker.Collect(dirty);
        CopyDirty(dirty, destination);

        Assert.True(B.Span(0, destination.Length).SequenceEqual(destination));
    }

    private void CopyDirty(GuestPageSet dirty, byte[] destination)
    {
        for (long from = 0; dirty[B].TryFindSetRun(from, 16, out var first, out var count); from = first + count)
        {
            B.Span(first * Page, (int)count * Page).CopyTo(destination.AsSpan((int)first * Page));
        }

        dirty.ClearAll();
    }
}
