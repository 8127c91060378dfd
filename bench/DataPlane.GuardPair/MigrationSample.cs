using System.Text.Json.Nodes;

namespace DataPlane.GuardPair;

/// <summary>One migration: the source's own seconds and bytes, and the CPU time of all three processes in that time.</summary>
internal sealed record MigrationSample(
    string Leg, int Run, double Seconds, long TransferredBytes,
    double FrontCpuSeconds, double SourceCpuSeconds, double DestinationCpuSeconds)
{
    public double BytesPerSecond => TransferredBytes / Seconds;

    public double FrontCpuSecondsPerGiB => FrontCpuSeconds / TransferredBytes * (1L << 30);

    public JsonObject ToJson() => new()
    {
        ["leg"] = Leg,
        ["run"] = Run,
        ["seconds"] = Seconds,
        ["transferred_bytes"] = TransferredBytes,
        ["bytes_per_second"] = BytesPerSecond,
        ["front_cpu_seconds"] = FrontCpuSeconds,
        ["source_cpu_seconds"] = SourceCpuSeconds,
        ["destination_cpu_seconds"] = DestinationCpuSeconds,
    };
}
