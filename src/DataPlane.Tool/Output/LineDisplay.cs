using System.Text;

namespace DataPlane.Tool.Output;

/// <summary>Progress as plain lines on stderr, for logs and pipes: one per interval and one per new stage.</summary>
internal sealed class LineDisplay(TextWriter error, TimeProvider time, TimeSpan interval) : IProgressDisplay
{
    private readonly Lock _lock = new();
    private readonly SampleGate _gate = new(time, interval);

    public void Report(ProgressSample sample)
    {
        lock (_lock)
        {
            if (_gate.Passes(sample))
                error.WriteLine(Describe(sample));
        }
    }

    public void Say(string line)
    {
        lock (_lock)
            error.WriteLine(line);
    }

    internal static string Describe(ProgressSample sample)
    {
        var line = new StringBuilder(sample.Stage);
        if (sample.Round is { } round)
            line.Append($", round {round}");
        if (sample.DoneBytes is { } done)
            line.Append($", {Human.Bytes(done)}");
        if (sample is { DoneBytes: not null, TotalBytes: { } total and > 0 })
            line.Append($" of {Human.Bytes(total)}");
        if (sample.BytesPerSecond is { } rate)
            line.Append($", {Human.Rate(rate)}");
        if (sample.Detail is { } detail)
            line.Append($", {detail}");
        return line.ToString();
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
