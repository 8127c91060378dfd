using System.Text.Json.Nodes;

namespace DataPlane.QemuPair;

/// <summary>
/// One migration: seconds from the first connect to the commit, bytes on the wire, CPU time of both processes in that time.
/// </summary>
internal sealed record Sample(string Leg, int Run, double Seconds, long TransferredBytes, double SourceCpuSeconds,
    double DestinationCpuSeconds)
{
    /// <summary>What else the leg says of itself.</summary>
    public JsonObject Details { get; init; } = [];

    public double BytesPerSecond => TransferredBytes / Seconds;

    public JsonObject ToJson() => new()
    {
        ["leg"] = Leg,
        ["run"] = Run,
        ["seconds"] = Seconds,
        ["transferred_bytes"] = TransferredBytes,
        ["bytes_per_second"] = BytesPerSecond,
        ["source_cpu_seconds"] = SourceCpuSeconds,
        ["destination_cpu_seconds"] = DestinationCpuSeconds,
        ["details"] = Details,
    };
}
