namespace DataPlane.Tool.Bench;

/// <summary>What a migration by postcopy measured.</summary>
internal sealed record PostcopySample : LegSample
{
    /// <summary>The time from the guest's pause at the source until the source heard that the guest starts at the destination.</summary>
    public required double DowntimeSeconds { get; init; }

    /// <summary>The time from the last byte of the device state to the guest's start, measured at the destination.</summary>
    public double StartDelaySeconds { get; init; }

    /// <summary>The time from the departure of the device state to the destination's confirmation that it has all of the memory.</summary>
    public required double PostcopySeconds { get; init; }

    public required long NormalPages { get; init; }

    public required long ZeroPages { get; init; }

    /// <summary>The number of page requests that the destination sent.</summary>
    public long Requests { get; init; }

    /// <summary>The number of pages of 4 KiB that the destination had asked for when they came.</summary>
    public long RequestedPages { get; init; }

    /// <summary>What the guest did at the destination until all of its memory had come.</summary>
    public TouchSample? Touches { get; init; }
}

/// <summary>What the guest did and saw at the destination.</summary>
internal sealed record TouchSample
{
    /// <summary>The number of pages that the guest read, each compared byte by byte with what it must hold.</summary>
    public required long CheckedPages { get; init; }

    /// <summary>The number of checked pages that the guest then wrote to.</summary>
    public required long WrittenPages { get; init; }

    /// <summary>The number of checked pages that were missing, so that the guest had to wait.</summary>
    public required long Faults { get; init; }

    /// <summary>How long the guest waited for the missing pages; null when none was missing.</summary>
    public Latency? FaultSeconds { get; init; }
}

/// <summary>Quantiles of a latency, in seconds.</summary>
internal sealed record Latency(double P50, double P99, double P999, double Max)
{
    /// <summary>The quantiles of the samples by nearest rank; null without samples.</summary>
    public static Latency? Of(IEnumerable<double> samples)
    {
        double[] sorted = [.. samples.Order()];
        double At(double share) => Quantile.NearestRank(sorted, share);
        return sorted.Length == 0 ? null : new Latency(At(0.5), At(0.99), At(0.999), sorted[^1]);
    }
}
