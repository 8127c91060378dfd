using System.Text.Json;
using System.Text.Json.Nodes;

namespace DataPlane.PostcopyPair;

/// <summary>
/// QEMU's own count of page faults, postcopy-latency-dist of query-migrate at the destination: how many took 2^n to 2^(n+1) microseconds,
/// from the fault's reading until its page was placed. Percentiles are interpolated inside their bucket.
/// </summary>
internal sealed class LatencyDistribution(long[] counts)
{
    public static LatencyDistribution Read(JsonElement migration) =>
        new([.. migration.GetProperty("postcopy-latency-dist").EnumerateArray().Select(static count => count.GetInt64())]);

    public long Faults => counts.Sum();

    /// <summary>The interpolated value below which <paramref name="part"/> of the faults lie, with the bounds of its bucket.</summary>
    public (double Value, double From, double To) At(double part)
    {
        var wanted = part * Faults;
        double before = 0;
        for (var n = 0; n < counts.Length; n++)
        {
            if (counts[n] > 0 && before + counts[n] >= wanted)
            {
                var (from, to) = (n == 0 ? 0 : Math.Pow(2, n), Math.Pow(2, n + 1));
                return (from + ((to - from) * (wanted - before) / counts[n]), from, to);
            }

            before += counts[n];
        }

        return (double.NaN, double.NaN, double.NaN);
    }

    public JsonObject ToJson()
    {
        var json = new JsonObject { ["counts"] = new JsonArray([.. counts.Select(static count => JsonValue.Create(count))]) };
        foreach (var (name, part) in ((string, double)[])[("p50", 0.5), ("p99", 0.99), ("p999", 0.999)])
        {
            if (At(part) is var (_, from, to) && double.IsFinite(to))
            {
                json[$"{name}_bucket_microseconds"] = new JsonArray(from, to);
            }
        }

        return json;
    }
}
