using System.Diagnostics;
using DataPlane.Postcopy;
using DataPlane.TestSupport;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>
/// Page faults while the garbage collector runs without a pause: a thread that it had to wait for would hold up the very threads that bring
/// the page. What hangs there hangs for good, so it runs in a process of its own with a deadline.
/// </summary>
public sealed class FaultsUnderCollectionTests
{
    /// <summary>What the background sends before the limit holds it: one claim for nothing, and the one that has to wait.</summary>
    private const int FreeOfWaiting = 2 * PageClaim.Capacity;

    private static readonly TimeSpan s_deadline = TimeSpan.FromMinutes(4);

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(nameof(Child_without_preempt))]
    [InlineData(nameof(Child_with_preempt))]
    public async Task A_guest_gets_its_pages_while_the_collector_runs_on_and_on(string child)
    {
        LiveGuest.RequireUserfaultfd();
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, "DataPlane.Tests")) { RedirectStandardOutput = true };
        foreach (var argument in (string[])
            ["--no-ansi", "--progress", "off", "--explicit", "only",
            "--filter-method", $"{typeof(FaultsUnderCollectionTests).FullName}.{child}"])
        {
            start.ArgumentList.Add(argument);
        }

        using var process = Process.Start(start)!;
        try
        {
            var output = process.StandardOutput.ReadToEndAsync(Token);
            await process.WaitForExitAsync(Token).WaitAsync(s_deadline, Token);
            Assert.True(process.ExitCode == 0, await output);
            Assert.Contains("succeeded: 1", await output, StringComparison.Ordinal);
        }
        finally
        {
            process.Kill();
        }
    }

    [Fact(Explicit = true)]
    public Task Child_without_preempt() => MoveWhileCollectingAsync(preempt: false);

    [Fact(Explicit = true)]
    public Task Child_with_preempt() => MoveWhileCollectingAsync(preempt: true);

    private static async Task MoveWhileCollectingAsync(bool preempt)
    {
        var collections = 0;
        var over = false;
        var collector = new Thread(() =>
        {
            while (!Volatile.Read(ref over))
            {
                GC.Collect(2, GCCollectionMode.Forced, blocking: true, compacting: true);
                collections++;
                Thread.Sleep(1); // with no gap at all nobody else runs: on an idle machine not even the compiler comes to its end
            }
        });
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var guest = TestGuest.Patterned(1 << 20);
        using var incoming = new LiveGuest(guest.Memory, RamAllocation.Default with { HugePages = false }, threads: 1)
        { OnStart = started.SetResult };
        // The source's clock stands still: its background sends what the limit allows at once, and then nothing, however long it takes.
        var clock = new FakeTimeProvider();
        var options = new MigrationSourceOptions { Postcopy = true, Preempt = preempt, MaxPostcopyBytesPerSecond = 1 << 20 };
        await using var destination = LiveMoveTests.Destination(incoming, options);
        collector.Start();
        try
        {
            var receiving = destination.ReceiveAsync(cancellationToken: Token);
            var sending = new MigrationSource(guest, options, timeProvider: clock).MigrateAsync(destination.LocalAddresses[0], null, Token);
            await await Task.WhenAny(started.Task, sending);
            await Task.Factory.StartNew(incoming.AssertWhole, Token, TaskCreationOptions.LongRunning, TaskScheduler.Default);
            var left = guest.Memory.TotalPages - FreeOfWaiting;
            clock.Advance(TimeSpan.FromMinutes(1));
            await sending;
            var report = await receiving;
            Assert.InRange(report.Postcopy!.RequestedPages, left, guest.Memory.TotalPages);
        }
        finally
        {
            Volatile.Write(ref over, true);
            collector.Join();
        }

        incoming.AssertWhole();
        Assert.True(collections > 10, $"{collections} collections");
    }
}
