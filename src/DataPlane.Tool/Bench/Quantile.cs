namespace DataPlane.Tool.Bench;

/// <summary>Quantiles of samples that are in ascending order. The programs of bench/ are built with this file too.</summary>
internal static class Quantile
{
    /// <summary>The sample in the middle, or what lies halfway between the two there.</summary>
    public static double Median(double[] sorted)
    {
        var middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    /// <summary>The smallest sample that at least <paramref name="share"/> (0 to 1) of the samples do not exceed.</summary>
    public static double NearestRank(double[] sorted, double share) => sorted[Math.Max(0, (int)Math.Ceiling(share * sorted.Length) - 1)];
}
