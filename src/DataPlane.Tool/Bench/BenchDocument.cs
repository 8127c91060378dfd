using DataPlane.Tool.Output;

namespace DataPlane.Tool.Bench;

/// <summary>The JSON document of <c>dataplane bench</c>; also the form of the files in perf-results.</summary>
internal sealed class BenchDocument() : CommandDocument("dataplane.bench/1")
{
    /// <summary>The destination's machine; the same as <c>host</c> when the destination is a process of the bench's own.</summary>
    public HostFacts? DestinationHost { get; set; }

    public string? DestinationVersion { get; set; }

    /// <summary>How writes of the guest were found: <c>pagemap</c> (the kernel) or <c>recorded</c> (the guest's own record).</summary>
    public string? DirtyTracking { get; set; }

    /// <summary>Why the kernel's tracking was not used.</summary>
    public string? DirtyTrackingReason { get; set; }

    /// <summary>Which way of sending turned out as the wire limit.</summary>
    public WireVariant? WireVariant { get; set; }

    /// <summary>The samples that this choice was made from.</summary>
    public IList<WireLimitEntry> WireCalibration { get; } = [];

    public IList<RunEntry> Runs { get; } = [];

    public BenchSummary? Summary { get; set; }
}

/// <summary>One run: both legs, one after the other.</summary>
internal sealed record RunEntry
{
    public MigrationSample? Migration { get; init; }

    /// <summary>With --postcopy: the same guest the other way.</summary>
    public PostcopySample? Postcopy { get; init; }

    public required WireLimitEntry WireLimit { get; init; }

    /// <summary>Rate of the migration over the rate of the wire limit.</summary>
    public double? Efficiency => Migration?.BytesPerSecond / WireLimit.BytesPerSecond;

    /// <summary>Time of the migration by postcopy over that by precopy.</summary>
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

    /// <summary>CPU time of both processes for the migration over that for the wire limit, per byte, medians.</summary>
    public double? CpuRatio { get; init; }

    /// <summary>With --postcopy.</summary>
    public PostcopySummary? Postcopy { get; init; }

    /// <summary>Every byte at the destination equalled the source's after every run.</summary>
    public required bool Verified { get; init; }
}

/// <summary>The migrations by postcopy; each figure over the runs.</summary>
internal sealed record PostcopySummary
{
    public required Statistic Seconds { get; init; }

    /// <summary>Over the time of the precopy of the same run.</summary>
    public required Statistic TimeRatio { get; init; }

    public required Statistic PostcopySeconds { get; init; }

    public required Statistic DowntimeSeconds { get; init; }

    public required Statistic StartDelaySeconds { get; init; }

    /// <summary>Quantiles of each run; null when no page was missing when it was touched.</summary>
    public Statistic? FaultP50Seconds { get; init; }

    public Statistic? FaultP99Seconds { get; init; }

    public Statistic? FaultP999Seconds { get; init; }

    /// <summary>Pages that the guest read at the destination and found right, all runs together.</summary>
    public required long CheckedPages { get; init; }
}

/// <summary>CPU seconds per GiB transferred, medians.</summary>
internal sealed record CpuSummary(double Migration, double WireLimit);

/// <summary>Median and extremes of a few samples.</summary>
internal sealed record Statistic(double Median, double Min, double Max)
{
    public static Statistic? Of(IEnumerable<double> samples)
    {
        double[] sorted = [.. samples.Order()];
        if (sorted.Length == 0)
        {
            return null;
        }

        var middle = sorted.Length / 2;
        var median = sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
        return new Statistic(median, sorted[0], sorted[^1]);
    }
}
