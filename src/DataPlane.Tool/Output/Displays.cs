namespace DataPlane.Tool.Output;

/// <summary>Shows no progress, for --quiet and --no-progress; lines still go to stderr.</summary>
internal sealed class SilentDisplay(TextWriter error) : IProgressDisplay
{
    public void Report(ProgressSample sample)
    {
    }

    public void Say(string line) => error.WriteLine(line);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>A display for people and the JSON stream at once.</summary>
internal sealed class StreamedDisplay(IProgressDisplay people, JsonStream stream) : IProgressDisplay
{
    public void Report(ProgressSample sample)
    {
        people.Report(sample);
        stream.Report(sample);
    }

    public void Say(string line) => people.Say(line);

    public ValueTask DisposeAsync() => people.DisposeAsync();
}

/// <summary>Lets through one sample per interval, and the first of every stage at once. A stage that waits passes only once.</summary>
internal sealed class SampleGate(TimeProvider time, TimeSpan interval)
{
    private string? _stage;
    private long _lastTimestamp;

    public bool Passes(ProgressSample sample)
    {
        var now = time.GetTimestamp();
        if (sample.Stage == _stage && (sample.IsWaiting || time.GetElapsedTime(_lastTimestamp, now) < interval))
        {
            return false;
        }

        _stage = sample.Stage;
        _lastTimestamp = now;
        return true;
    }
}
