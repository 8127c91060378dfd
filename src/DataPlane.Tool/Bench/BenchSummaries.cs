namespace DataPlane.Tool.Bench;

/// <summary>Sums up the runs of a bench.</summary>
internal static class BenchSummaries
{
    private const double Gib = 1L << 30;

    /// <summary>Sums up the runs so far; null before the first run is complete.</summary>
    public static BenchSummary? Of(IList<RunEntry> runs, bool verified)
    {
        if (Statistic.Of(runs.Select(run => run.WireLimit.BytesPerSecond)) is not { } wire)
        {
            return null;
        }

        List<MigrationSample> migrations = [.. runs.Select(run => run.Migration).OfType<MigrationSample>()];
        var source = Cpu(migrations, runs, sample => sample.SourceCpuSeconds, wireLimit => wireLimit.SourceCpuSeconds);
        var destination = Cpu(
            migrations, runs, sample => sample.DestinationCpuSeconds, wireLimit => wireLimit.DestinationCpuSeconds);
        return new BenchSummary
        {
            Efficiency = Statistic.Of(runs.Select(run => run.Efficiency).OfType<double>()),
            MigrationBytesPerSecond = Statistic.Of(migrations.Select(sample => sample.BytesPerSecond)),
            WireLimitBytesPerSecond = wire,
            MigrationSeconds = Statistic.Of(migrations.Select(sample => sample.Seconds)),
            DowntimeSeconds = Statistic.Of(migrations.Select(sample => sample.DowntimeSeconds)),
            SourceCpuSecondsPerGib = source,
            DestinationCpuSecondsPerGib = destination,
            CpuRatio = source is null || destination is null
                ? null
                : (source.Migration + destination.Migration) / (source.WireLimit + destination.WireLimit),
            Postcopy = Postcopy(runs),
            Verified = verified,
        };
    }

    private static PostcopySummary? Postcopy(IList<RunEntry> runs)
    {
        List<PostcopySample> samples = [.. runs.Select(run => run.Postcopy).OfType<PostcopySample>()];
        if (samples.Count == 0)
        {
            return null;
        }

        List<Latency> faults = [.. samples.Select(sample => sample.Touches?.FaultSeconds).OfType<Latency>()];
        return new PostcopySummary
        {
            Seconds = Statistic.Of(samples.Select(sample => sample.Seconds))!,
            TimeRatio = Statistic.Of(runs.Select(run => run.PostcopyTimeRatio).OfType<double>())!,
            PostcopySeconds = Statistic.Of(samples.Select(sample => sample.PostcopySeconds))!,
            DowntimeSeconds = Statistic.Of(samples.Select(sample => sample.DowntimeSeconds))!,
            StartDelaySeconds = Statistic.Of(samples.Select(sample => sample.StartDelaySeconds))!,
            FaultP50Seconds = Statistic.Of(faults.Select(latency => latency.P50)),
            FaultP99Seconds = Statistic.Of(faults.Select(latency => latency.P99)),
            FaultP999Seconds = Statistic.Of(faults.Select(latency => latency.P999)),
            CheckedPages = samples.Sum(sample => sample.Touches?.CheckedPages ?? 0),
        };
    }

    private static CpuSummary? Cpu(
        List<MigrationSample> migrations, IList<RunEntry> runs, Func<LegSample, double> ofMigration, Func<WireLimitEntry, double> ofWire)
    {
        var migration = Statistic.Of(migrations.Select(sample => ofMigration(sample) / (sample.TransferredBytes / Gib)));
        var wire = Statistic.Of(runs.Select(run => ofWire(run.WireLimit) / (run.WireLimit.TransferredBytes / Gib)));
        return migration is null || wire is null ? null : new CpuSummary(migration.Median, wire.Median);
    }
}
