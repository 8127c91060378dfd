using System.Text;

namespace DataPlane.Tool.Output;

/// <summary>Shows progress as plain lines on stderr, for logs and pipes: one per interval and one per new stage.</summary>
internal sealed class LineDisplay(TextWriter error, TimeProvider time, TimeSpan interval) : IProgressDisplay
{
    private readonly Lock _lock = new();
    private readonly SampleGate _gate = new(time, interval);

    public void Report(ProgressSample sample)
    {
        lock (_lock)
        {
            if (_gate.Passes(sample))
            {
                error.WriteLine(Describe(sample));
            }
        }
    }

    public void Say(string line)
    {
        lock (_lock)
        {
            error.WriteLine(line);
        }
    }

    public static string Describe(ProgressSample sample)
    {
        var line = new StringBuilder(sample.Stage);
        if (sample.Round is { } round)
        {
            line.Append($", round {round}");
        }

        if (sample.DoneBytes is { } moved)
        {
            line.Append($", {Human.Bytes(moved)}");
        }

        if (sample is { DoneBytes: not null, TotalBytes: { } total and > 0 })
        {
            line.Append($" of {Human.Bytes(total)} ({Percent(sample)}%)");
        }

        if (sample.BytesPerSecond is { } rate)
        {
            line.Append($", {Human.Rate(rate)}");
        }

        if (TimeLeft(sample) is { } left)
        {
            line.Append($", about {left} left");
        }

        if (sample.Detail is { } detail)
        {
            line.Append($", {detail}");
        }

        return line.ToString();
    }

    /// <summary>The part that is done, in whole percent. The sample must have both numbers of bytes.</summary>
    public static int Percent(ProgressSample sample) =>
        (int)Math.Floor(100.0 * Math.Clamp(sample.DoneBytes!.Value, 0, sample.TotalBytes!.Value) / sample.TotalBytes.Value);

    /// <summary>How long the rest takes at the present rate; null where that is not known.</summary>
    public static string? TimeLeft(ProgressSample sample) =>
        sample is { DoneBytes: { } done and > 0, TotalBytes: { } total, BytesPerSecond: { } rate and > 0 } && done < total
            ? Human.About((total - done) / rate) : null;

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
