namespace DataPlane.Tool.Output;

/// <summary>Shows nothing: --quiet and --no-progress.</summary>
internal sealed class SilentDisplay : IProgressDisplay
{
    public void Report(ProgressSample sample)
    {
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}

/// <summary>Feeds several displays, for a terminal and a JSON stream at once.</summary>
internal sealed class CombinedDisplay(IReadOnlyList<IProgressDisplay> displays) : IProgressDisplay
{
    public void Report(ProgressSample sample)
    {
        foreach (IProgressDisplay display in displays)
            display.Report(sample);
    }

    public async ValueTask DisposeAsync()
    {
        foreach (IProgressDisplay display in displays)
            await display.DisposeAsync().ConfigureAwait(false);
    }
}

/// <summary>Lets one sample through per interval, and the first of every stage at once.</summary>
internal sealed class SampleGate(TimeProvider time, TimeSpan interval)
{
    private string? _stage;
    private long _lastTimestamp;

    public bool Passes(ProgressSample sample)
    {
        long now = time.GetTimestamp();
        if (sample.Stage == _stage && time.GetElapsedTime(_lastTimestamp, now) < interval)
            return false;
        _stage = sample.Stage;
        _lastTimestamp = now;
        return true;
    }
}
