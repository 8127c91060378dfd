using System.Text.Json;

namespace DataPlane.Tool.Output;

/// <summary>Writes one JSON line per interval and per new stage to stdout (--json-stream). The document follows as the last line.</summary>
internal sealed class JsonStream(TextWriter output, TimeProvider time, TimeSpan interval)
{
    private readonly Lock _lock = new();
    private readonly SampleGate _gate = new(time, interval);
    private readonly long _startTimestamp = time.GetTimestamp();

    public void Report(ProgressSample sample)
    {
        lock (_lock)
        {
            if (!_gate.Passes(sample))
            {
                return;
            }

            var line = new ProgressLine
            {
                ElapsedSeconds = time.GetElapsedTime(_startTimestamp).TotalSeconds,
                Stage = sample.Stage,
                Round = sample.Round,
                DoneBytes = sample.DoneBytes,
                TotalBytes = sample.TotalBytes,
                BytesPerSecond = sample.BytesPerSecond,
                Detail = sample.Detail,
            };
            output.WriteLine(JsonSerializer.Serialize(line, ToolJson.Lines.ProgressLine));
            output.Flush();
        }
    }
}

/// <summary>A line of the JSON stream.</summary>
internal sealed record ProgressLine
{
    public string Schema { get; } = "dataplane.progress/1";

    public required double ElapsedSeconds { get; init; }

    public required string Stage { get; init; }

    public int? Round { get; init; }

    public long? DoneBytes { get; init; }

    public long? TotalBytes { get; init; }

    public double? BytesPerSecond { get; init; }

    public string? Detail { get; init; }
}
