using System.Globalization;
using System.Text.Json.Nodes;
using DataPlane.Tool.Bench;

namespace DataPlane.AdmissionLatency;

/// <summary>All samples with one number of silent connections.</summary>
internal sealed class Leg(int silent)
{
    public int Silent { get; } = silent;

    /// <summary>From before the send of the deciding byte until the channel is in the host's hands, in seconds.</summary>
    public List<double> EndToEnd { get; } = [];

    /// <summary>From the poll that brought the deciding byte to the admission, as admission itself says it.</summary>
    public List<double> Decision { get; } = [];

    public List<double> IdleCpuPercent { get; } = [];

    public List<double> ManagedBytesPerConnection { get; } = [];

    public List<double> ResidentBytesPerConnection { get; } = [];

    public string Describe()
    {
        var memory = Silent == 0 ? "-" : string.Create(
            CultureInfo.InvariantCulture,
            $"{ManagedBytesPerConnection.Max():0} B managed, {ResidentBytesPerConnection.Max():0} B resident");
        return string.Create(CultureInfo.InvariantCulture,
            $"{Silent,6} silent: p50 {Micros(EndToEnd, 0.5)}, p99 {Micros(EndToEnd, 0.99)}; in admission p50 {Micros(Decision, 0.5)}, " +
            $"p99 {Micros(Decision, 0.99)}; idle CPU {IdleCpuPercent.Max():0.00} %; memory per connection {memory}");
    }

    public JsonObject ToJson() => new()
    {
        ["silent"] = Silent,
        ["samples"] = EndToEnd.Count,
        ["end_to_end_seconds"] = Quantiles(EndToEnd),
        ["decision_seconds"] = Quantiles(Decision),
        ["idle_cpu_percent"] = Array(IdleCpuPercent),
        ["managed_bytes_per_connection"] = Array(ManagedBytesPerConnection),
        ["resident_bytes_per_connection"] = Array(ResidentBytesPerConnection),
        ["end_to_end_samples"] = Array(EndToEnd),
    };

    private static double At(List<double> values, double share) => Quantile.NearestRank([.. values.Order()], share);

    private static string Micros(List<double> values, double share) =>
        string.Create(CultureInfo.InvariantCulture, $"{At(values, share) * 1e6:0.0} us");

    private static JsonObject Quantiles(List<double> values) => new()
    {
        ["p50"] = At(values, 0.5),
        ["p99"] = At(values, 0.99),
        ["max"] = values.Max(),
    };

    private static JsonArray Array(List<double> values) => [.. values.Select(static value => (JsonNode)value)];
}
