using System.Globalization;
using System.Text.Json.Nodes;
using DataPlane.Tool.Bench;

namespace DataPlane.PostcopyPair;

/// <summary>How long the pages of one run were waited for, in microseconds.</summary>
internal sealed record FaultSample(
    string Leg, int Run, string Case, long Faults, double Mean, double P50, double P99, double P999, double Longest)
{
    /// <summary>What else is known of it.</summary>
    public JsonObject Details { get; init; } = [];

    public static FaultSample From(string leg, int run, FaultCase about, double[] microseconds)
    {
        if (microseconds.Length == 0)
        {
            return new FaultSample(leg, run, about.Name, 0, double.NaN, double.NaN, double.NaN, double.NaN, double.NaN);
        }

        double[] sorted = [.. microseconds.Order()];
        double At(double share) => Quantile.NearestRank(sorted, share);
        return new FaultSample(leg, run, about.Name, sorted.Length, sorted.Average(), At(0.5), At(0.99), At(0.999), sorted[^1]);
    }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Case,-15} {Leg,-9} {Faults,6} faults: mean {Mean:0.0}, p50 {P50:0.0}, p99 {P99:0.0}, p99.9 {P999:0.0} us");

    public JsonObject ToJson() => new()
    {
        ["leg"] = Leg,
        ["run"] = Run,
        ["case"] = Case,
        ["faults"] = Faults,
        ["mean_microseconds"] = Number(Mean),
        ["p50_microseconds"] = Number(P50),
        ["p99_microseconds"] = Number(P99),
        ["p999_microseconds"] = Number(P999),
        ["max_microseconds"] = Number(Longest),
        ["details"] = Details,
    };

    private static JsonValue? Number(double value) => double.IsFinite(value) ? JsonValue.Create(value) : null;
}
