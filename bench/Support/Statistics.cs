namespace DataPlane.BenchSupport;

/// <summary>What the comparisons make of their samples.</summary>
internal static class Statistics
{
    public static double Median(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        var middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    /// <summary>The value below which <paramref name="part"/> of the samples lie.</summary>
    /// <param name="sorted">Ascending.</param>
    /// <param name="part">0 to 1.</param>
    public static double Percentile(double[] sorted, double part) => sorted[Math.Min((int)(part * sorted.Length), sorted.Length - 1)];
}
