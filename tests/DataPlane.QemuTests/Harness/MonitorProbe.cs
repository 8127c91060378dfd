using System.Diagnostics;

namespace DataPlane.QemuTests.Harness;

/// <summary>Whether QEMU's main loop still turns, asked through the monitor.</summary>
internal static class MonitorProbe
{
    // A living QEMU answers within milliseconds, also under load; one that stands still never does.
    private static readonly TimeSpan s_never = TimeSpan.FromSeconds(4);

    /// <summary>Asks until an answer does not come though QEMU is still there: true then, and false when it answers all the time.</summary>
    public static async Task<bool> StandsStillAsync(QemuProcess machine, CancellationToken token)
    {
        // What freezes it is on its way when this begins: the first answers may still come.
        for (var asked = Stopwatch.StartNew(); asked.Elapsed < 2 * s_never;)
        {
            try
            {
                await machine.ExecuteAsync("query-status", null, token).WaitAsync(s_never, token);
                await Task.Delay(50, token);
            }
            catch (TimeoutException)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>Asks again and again until <paramref name="enough"/>; returns the longest time that an answer took.</summary>
    public static async Task<TimeSpan> WatchAsync(QemuProcess machine, CancellationToken enough)
    {
        var longest = TimeSpan.Zero;
        while (!enough.IsCancellationRequested)
        {
            var asked = Stopwatch.StartNew();
            // Not cancelled: an answer that is due counts, however late.
            await machine.ExecuteAsync("query-status", null, CancellationToken.None);
            longest = asked.Elapsed > longest ? asked.Elapsed : longest;
            await Task.Delay(100, enough)
                .ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }

        return longest;
    }
}
