using System.Text.Json.Nodes;
using DataPlane.BenchSupport;
using DataPlane.QemuTests.Harness;

namespace DataPlane.GuardPair;

/// <summary>The document with all samples, and the few figures that stand for them.</summary>
internal static class Report
{
    public static JsonObject Summarize(IReadOnlyList<MigrationSample> migrations, IReadOnlyList<LatencySample> latencies)
    {
        var summary = new JsonObject();
        string[] legs = [.. migrations.Select(sample => sample.Leg).Distinct()];
        foreach (var leg in legs)
        {
            summary[$"{leg}_bytes_per_second"] =
                Statistics.Median(migrations.Where(sample => sample.Leg == leg).Select(sample => sample.BytesPerSecond));
        }

        foreach (var leg in legs.Where(leg => leg != Fronts.Direct))
        {
            summary[$"{leg}_front_cpu_seconds_per_gib"] =
                Statistics.Median(migrations.Where(sample => sample.Leg == leg).Select(sample => sample.FrontCpuSecondsPerGiB));
        }
        // Sample by sample against the one of the same run: a slow minute hits both.
        foreach (var leg in legs.Where(leg => leg != Fronts.Guard && legs.Contains(Fronts.Guard)))
        {
            summary[$"guard_ratio_to_{leg}"] = Statistics.Median(migrations.Where(sample => sample.Leg == Fronts.Guard).Select(ours =>
                ours.BytesPerSecond / migrations.Single(theirs => theirs.Leg == leg && theirs.Run == ours.Run).BytesPerSecond));
        }

        foreach (var group in latencies.GroupBy(sample => (sample.Leg, sample.Busy)))
        {
            var name = $"{group.Key.Leg}_page_{(group.Key.Busy ? "main_busy" : "main_idle")}";
            summary[$"{name}_p50_microseconds"] = Statistics.Median(group.Select(sample => sample.Median));
            summary[$"{name}_p99_microseconds"] = Statistics.Median(group.Select(sample => sample.P99));
        }

        return summary;
    }

    public static JsonObject Document(
        QemuVersion version,
        long ramBytes,
        int channels,
        JsonObject summary,
        IEnumerable<MigrationSample> migrations,
        IEnumerable<LatencySample> latencies,
        IEnumerable<JsonObject> postcopies) => new()
        {
            ["schema"] = "dataplane.guard-pair/1",
            ["created_utc"] = MachineFacts.Now(),
            ["machine"] = MachineFacts.ToJson(),
            ["qemu"] = QemuInstallation.FullVersion(version),
            ["ram_bytes"] = ramBytes,
            ["channels"] = channels,
            ["seconds_are"] = "total-time of the source: from before the first connect until the destination's confirmation",
            ["page_microseconds_are"] =
                "from the request on main's return path until the page is whole at the other end of preempt, both ends scripted",
            ["summary"] = summary,
            ["migrations"] = new JsonArray([.. migrations.Select(sample => (JsonNode)sample.ToJson())]),
            ["pages"] = new JsonArray([.. latencies.Select(sample => (JsonNode)sample.ToJson())]),
            ["postcopies"] = new JsonArray([.. postcopies]),
        };
}
