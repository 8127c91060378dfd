namespace DataPlane.Tool.Bench;

/// <summary>
/// Counts how many page writes are due at a given rate. Pauses do not count, and a backlog is caught up only within a bound.
/// </summary>
internal sealed class WritePacer
{
    // A tenth of a second of writes: a thread that was not scheduled for longer loses the rest, as a real vCPU would.
    private const double MaxBacklogSeconds = 0.1;

    private readonly TimeProvider _time;
    private readonly double _writesPerSecond;
    private long _lastTimestamp;
    private double _due;

    public WritePacer(TimeProvider time, double writesPerSecond)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(writesPerSecond);
        _time = time;
        _writesPerSecond = writesPerSecond;
        Restart();
    }

    /// <summary>Drops the writes that were due and counts from now: a paused writer owes none.</summary>
    public void Restart()
    {
        _lastTimestamp = _time.GetTimestamp();
        _due = 0;
    }

    /// <summary>Takes up to <paramref name="max"/> due writes.</summary>
    public int Take(int max)
    {
        var now = _time.GetTimestamp();
        var earned = _time.GetElapsedTime(_lastTimestamp, now).TotalSeconds * _writesPerSecond;
        _lastTimestamp = now;
        _due = Math.Min(_due + earned, Math.Max(1, _writesPerSecond * MaxBacklogSeconds));
        var taken = (int)Math.Min(_due, max);
        _due -= taken;
        return taken;
    }
}
