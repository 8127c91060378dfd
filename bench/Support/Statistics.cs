using DataPlane.Tool.Bench;

namespace DataPlane.BenchSupport;

/// <summary>What the comparisons make of their samples.</summary>
internal static class Statistics
{
    public static double Median(IEnumerable<double> values) => Quantile.Median([.. values.Order()]);
}
