using DataPlane.Tool.Output;

namespace DataPlane.Tool.Bench;

/// <summary>The JSON document of <c>dataplane bench</c>; also the form of the files in perf-results.</summary>
internal sealed class BenchDocument() : CommandDocument("dataplane.bench/1")
{
    /// <summary>The machine of the destination; the same as <c>host</c> when the bench has started the destination itself.</summary>
    public HostFacts? DestinationHost { get; set; }

    public string? DestinationVersion { get; set; }

    /// <summary>How the guest's writes were found: <c>pagemap</c> (by the kernel) or <c>recorded</c> (by the guest's own record).</summary>
    public string? DirtyTracking { get; set; }

    /// <summary>Why the kernel's dirty tracking was not used; null when it was.</summary>
    public string? DirtyTrackingReason { get; set; }

    /// <summary>The way of sending that was the faster one in the calibration, and is the wire limit of all runs.</summary>
    public WireVariant? WireVariant { get; set; }

    /// <summary>The samples of the calibration, from which the way of sending was chosen.</summary>
    public IList<WireLimitEntry> WireCalibration { get; } = [];

    public IList<RunEntry> Runs { get; } = [];

    public BenchSummary? Summary { get; set; }
}

/// <summary>One run: the migration, with --postcopy also the migration by postcopy, and the wire limit, one after the other.</summary>
internal sealed record RunEntry
{
    public MigrationSample? Migration { get; init; }

    /// <summary>The migration of the same guest by postcopy; null without --postcopy.</summary>
    public PostcopySample? Postcopy { get; init; }

    public required WireLimitEntry WireLimit { get; init; }

    /// <summary>The rate of the migration divided by the rate of the wire limit; null without a migration.</summary>
    public double? Efficiency => Migration?.BytesPerSecond / WireLimit.BytesPerSecond;

    /// <summary>The time of the migration by postcopy divided by the time of the migration by precopy; null without --postcopy.</summary>
    public double? PostcopyTimeRatio => Postcopy?.Seconds / Migration?.Seconds;
}

internal sealed record WireLimitEntry
{
    public required WireVariant Variant { get; init; }

    public required double Seconds { get; init; }

    public required long TransferredBytes { get; init; }

    public required double BytesPerSecond { get; init; }

    public required double SourceCpuSeconds { get; init; }

    public required double DestinationCpuSeconds { get; init; }

    public static WireLimitEntry From(WireVariant variant, LegSample sample) => new()
    {
        Variant = variant,
        Seconds = sample.Seconds,
        TransferredBytes = sample.TransferredBytes,
        BytesPerSecond = sample.BytesPerSecond,
        SourceCpuSeconds = sample.SourceCpuSeconds,
        DestinationCpuSeconds = sample.DestinationCpuSeconds,
    };
}

internal sealed record BenchSummary
{
    public Statistic? Efficiency { get; init; }

    public Statistic? MigrationBytesPerSecond { get; init; }

    public required Statistic WireLimitBytesPerSecond { get; init; }

    public Statistic? MigrationSeconds { get; init; }

    public Statistic? DowntimeSeconds { get; init; }

    public CpuSummary? SourceCpuSecondsPerGib { get; init; }

    public CpuSummary? DestinationCpuSecondsPerGib { get; init; }

    /// <summary>
    /// The CPU time of both processes per byte: that of the migration divided by that of the wire limit, both as medians.
    /// </summary>
    public double? CpuRatio { get; init; }

    /// <summary>The figures of the migrations by postcopy; null without --postcopy.</summary>
    public PostcopySummary? Postcopy { get; init; }

    /// <summary>Whether every byte at the destination equalled the source's after each of the planned runs.</summary>
    public required bool Verified { get; init; }
}

/// <summary>The migrations by postcopy; each figure is taken over the runs.</summary>
internal sealed record PostcopySummary
{
    public required Statistic Seconds { get; init; }

    /// <summary>The time of the migration by postcopy divided by the time of the precopy of the same run.</summary>
    public required Statistic TimeRatio { get; init; }

    public required Statistic PostcopySeconds { get; init; }

    public required Statistic DowntimeSeconds { get; init; }

    public required Statistic StartDelaySeconds { get; init; }

    /// <summary>The P50 of each run's fault latencies; null when no page was missing when the guest touched it.</summary>
    public Statistic? FaultP50Seconds { get; init; }

    public Statistic? FaultP99Seconds { get; init; }

    public Statistic? FaultP999Seconds { get; init; }

    /// <summary>The number of pages that the guest read at the destination and found right, in all runs together.</summary>
    public required long CheckedPages { get; init; }
}

/// <summary>CPU seconds per GiB transferred, as medians over the runs.</summary>
internal sealed record CpuSummary(double Migration, double WireLimit);

/// <summary>Median and extremes of a few samples.</summary>
internal sealed record Statistic(double Median, double Min, double Max)
{
    public static Statistic? Of(IEnumerable<double> samples)
    {
        double[] sorted = [.. samples.Order()];
        return sorted.Length == 0 ? null : new Statistic(Quantile.Median(sorted), sorted[0], sorted[^1]);
    }
}
