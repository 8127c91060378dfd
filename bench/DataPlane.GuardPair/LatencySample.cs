using System.Text.Json.Nodes;
using DataPlane.Tool.Bench;

namespace DataPlane.GuardPair;

/// <summary>Many pages, one after the other: the distribution of their times, in microseconds.</summary>
internal sealed record LatencySample(string Leg, int Run, bool Busy, int Pages, double Median, double P99, double P999, double Longest)
{
    public static LatencySample From(string leg, int run, bool busy, double[] microseconds)
    {
        double[] sorted = [.. microseconds.Order()];
        double At(double share) => Quantile.NearestRank(sorted, share);
        return new LatencySample(leg, run, busy, sorted.Length, At(0.5), At(0.99), At(0.999), sorted[^1]);
    }

    public JsonObject ToJson() => new()
    {
        ["leg"] = Leg,
        ["run"] = Run,
        ["main_busy"] = Busy,
        ["pages"] = Pages,
        ["p50_microseconds"] = Median,
        ["p99_microseconds"] = P99,
        ["p999_microseconds"] = P999,
        ["max_microseconds"] = Longest,
    };
}
