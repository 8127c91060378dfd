using System.Text.Json.Nodes;

namespace DataPlane.PostcopyPair;

/// <summary>
/// How long a guest stands still at the switch: it writes all the time, its memory goes over once by precopy, and then it is handed over
/// with what it has written meanwhile still missing.
/// </summary>
internal static class DowntimeLeg
{
    private const int WritesPerSecond = 20_000;

    public static async Task<JsonObject> RunAsync(int gibibytes, int run, CancellationToken token)
    {
        using var guest = new SourceGuest((long)gibibytes << 30, WritesPerSecond);
        using var incoming = new ArrivingGuest(RamAllocation.Default, touches: false);
        guest.Start();
        var report = await LiveMove.RunAsync(
            guest,
            incoming,
            new MigrationSourceOptions
            {
                Postcopy = true,
                Preempt = true,
                MaxDowntime = TimeSpan.FromMicroseconds(1),
                ProgressInterval = TimeSpan.FromMilliseconds(10),
            },
            token,
            static source => new AfterOneRound(source));
        var phases = new JsonObject();
        foreach (var phase in report.Phases)
        {
            phases[phase.Phase.ToString()] = phase.Duration.TotalSeconds;
        }

        return new JsonObject
        {
            ["run"] = run,
            ["ram_gibibytes"] = gibibytes,
            ["downtime_milliseconds"] = report.Downtime.TotalMilliseconds,
            ["start_milliseconds"] = report.Postcopy!.StartDelay?.TotalMilliseconds,
            ["seconds"] = report.Duration.TotalSeconds,
            ["rounds"] = report.Rounds,
            ["phases_seconds"] = phases,
        };
    }

    private sealed class AfterOneRound(MigrationSource source) : IProgress<MigrationProgress>
    {
        public void Report(MigrationProgress value)
        {
            if (value.Round >= 2)
            {
                source.SwitchToPostcopy();
            }
        }
    }
}
