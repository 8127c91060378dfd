using System.Globalization;
using System.Text.Json.Nodes;
using DataPlane.BenchSupport;

namespace DataPlane.PostcopyPair;

/// <summary>One line of the table: what was wanted, and what came out.</summary>
internal sealed record Figure(string Name, double Value, string Unit, string Target, bool? Met)
{
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"{Name,-46} {Value,10:0.###} {Unit,-3} {Target,-20} {Verdict}").TrimEnd();

    private string Verdict => Met switch
    {
        true => "met",
        false => "MISSED",
        null => "",
    };

    public JsonObject ToJson() => new()
    {
        ["name"] = Name,
        ["value"] = double.IsFinite(Value) ? JsonValue.Create(Value) : null,
        ["unit"] = Unit,
        ["target"] = Target.Length > 0 ? Target : null,
        ["met"] = Met,
    };
}

/// <summary>The few figures that stand for all samples: medians over the runs, ratios run by run.</summary>
internal static class Figures
{
    public static IEnumerable<Figure> OfFaults(IReadOnlyList<FaultSample> samples)
    {
        foreach (var about in FaultCase.All)
        {
            FaultSample[] Of(string leg) =>
                [.. samples.Where(sample => sample.Leg == leg && sample.Case == about.Name && sample.Faults > 0)];
            var (ours, theirs, bare) = (Of(OurFaultLeg.Leg), Of(QemuFaultLeg.Leg), Of(BareFaultLeg.Leg));
            foreach (var (leg, mine) in ((string, FaultSample[])[])[("dataplane", ours), ("qemu", theirs), ("bare", bare)])
            {
                if (mine.Length == 0)
                {
                    continue;
                }

                yield return Plain($"fault {about.Name} {leg} p50", mine.Select(sample => sample.P50), "us");
                yield return Plain($"fault {about.Name} {leg} p99", mine.Select(sample => sample.P99), "us");
                yield return Plain($"fault {about.Name} {leg} p99.9", mine.Select(sample => sample.P999), "us");
            }

            if (about.Busy && Ratios(ours, theirs, sample => sample.P99) is [_, ..] tails)
            {
                yield return AtMost($"fault {about.Name} p99 to QEMU's", tails, "x", 0.5);
            }

            if (!about.Busy && about.Preempt && Ratios(ours, bare, sample => sample.P50) is [_, ..] middles)
            {
                yield return AtMost($"fault {about.Name} p50 to bare", middles, "x", 2);
            }
        }
    }

    public static IEnumerable<Figure> OfDowntimes(IReadOnlyList<JsonObject> samples) =>
        from sample in samples
        group Number(sample, "downtime_milliseconds") by Number(sample, "ram_gibibytes") into size
        select AtMost($"downtime {size.Key} GiB", size, "ms", 50);

    public static IEnumerable<Figure> OfRestores(IReadOnlyList<JsonObject> samples)
    {
        foreach (var size in samples.GroupBy(sample => Number(sample, "ram_gibibytes")))
        {
            var name = $"restore {size.Key} GiB";
            double? Wanted(double factor) => size.Key == 4 ? factor : null;
            yield return Plain($"{name} QEMU from the file", size.Select(sample => Number(sample, "qemu_milliseconds")), "ms");
            yield return Plain($"{name} ours from connect", size.Select(sample => Number(sample, "connect_milliseconds")), "ms");
            yield return Plain($"{name} ours from process start", size.Select(sample => Number(sample, "process_milliseconds")), "ms");
            yield return AtLeast($"{name} sooner, from connect", size.Select(Sooner("connect_milliseconds")), Wanted(20));
            yield return AtLeast($"{name} sooner, from process start", size.Select(Sooner("process_milliseconds")), Wanted(5));
            yield return AtMost($"{name} package to PONG", size.Select(sample => Number(sample, "package_to_pong_milliseconds")), "ms", 6);
        }
    }

    public static IEnumerable<Figure> OfTotals(IReadOnlyList<JsonObject> samples)
    {
        if (samples.Count == 0)
        {
            yield break;
        }

        foreach (var kind in ((string[])["dataplane_precopy", "dataplane_postcopy", "qemu_precopy", "qemu_postcopy"])
            .Where(kind => samples[0].ContainsKey($"{kind}_seconds")))
        {
            yield return Plain($"total {kind}", samples.Select(sample => Number(sample, $"{kind}_seconds")), "s");
        }

        double Slower(JsonObject sample, string than) => Number(sample, "dataplane_postcopy_seconds") / Number(sample, than);
        yield return AtMost(
            "total postcopy to our precopy", samples.Select(sample => Slower(sample, "dataplane_precopy_seconds")), "x", 1.1);
        if (!samples[0].ContainsKey("qemu_postcopy_seconds"))
        {
            yield break;
        }

        yield return Plain("total postcopy to QEMU's postcopy", samples.Select(sample => Slower(sample, "qemu_postcopy_seconds")), "x");
        yield return Plain("total postcopy to QEMU's precopy", samples.Select(sample => Slower(sample, "qemu_precopy_seconds")), "x");
    }

    private static Func<JsonObject, double> Sooner(string ours) =>
        sample => Number(sample, "qemu_milliseconds") / Number(sample, ours);

    private static double[] Ratios(FaultSample[] ours, FaultSample[] others, Func<FaultSample, double> value) =>
        [.. ours.Join(others, sample => sample.Run, sample => sample.Run, (mine, other) => value(mine) / value(other))];

    private static double Number(JsonObject sample, string name) =>
        double.Parse(sample[name]!.ToJsonString(), CultureInfo.InvariantCulture);

    private static Figure Plain(string name, IEnumerable<double> values, string unit) =>
        new(name, Statistics.Median(values), unit, "", null);

    private static Figure AtMost(string name, IEnumerable<double> values, string unit, double limit)
    {
        var value = Statistics.Median(values);
        return new Figure(name, value, unit, string.Create(CultureInfo.InvariantCulture, $"at most {limit} {unit}"), value <= limit);
    }

    private static Figure AtLeast(string name, IEnumerable<double> values, double? limit)
    {
        var value = Statistics.Median(values);
        return limit is { } least
            ? new Figure(name, value, "x", string.Create(CultureInfo.InvariantCulture, $"at least {least} x"), value >= least)
            : new Figure(name, value, "x", "", null);
    }
}
