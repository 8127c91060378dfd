using System.Diagnostics;
using DataPlane.Memory;
using DataPlane.Migration;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

/// <summary>
/// Page faults while the garbage collector runs without a pause: a thread that it had to wait for would hold up the very threads that bring
/// the page. What hangs there hangs for good, so it runs in a process of its own with a deadline.
/// </summary>
public sealed class FaultsUnderCollectionTests
{
    private static readonly TimeSpan s_deadline = TimeSpan.FromMinutes(2);

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
            }
        });
        using var guest = TestGuest.Patterned(3 << 20);
        using var incoming = new LiveGuest(guest.Memory, RamAllocation.Default with { HugePages = false }, threads: 4);
        var options = new MigrationSourceOptions { Postcopy = true, Preempt = preempt, MaxPostcopyBytesPerSecond = 2 << 20 };
        await using var destination = LiveMoveTests.Destination(incoming, options);
        collector.Start();
        try
        {
            var receiving = destination.ReceiveAsync(cancellationToken: Token);
            await new MigrationSource(guest, options).MigrateAsync(destination.LocalAddresses[0], null, Token);
            var report = await receiving;
            Assert.True(report.Postcopy!.RequestedPages > 0, $"{report.Postcopy.RequestedPages} pages were asked for");
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
