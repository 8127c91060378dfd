namespace DataPlane.Migration;

/// <summary>Adds time and rate to the samples of a migration and hands them on, one at a time.</summary>
internal sealed class ProgressMeter(IProgress<MigrationProgress>? target, PhaseClock clock)
{
    private readonly Lock _gate = new();
    private TimeSpan _lastTime;
    private long _lastBytes;

    /// <summary>Whether anyone listens.</summary>
    public bool IsWanted => target is not null;

    public void Report(Func<MigrationProgress> sample)
    {
        if (target is null)
        {
            return;
        }

        lock (_gate)
        {
            var now = clock.Elapsed;
            var seconds = (now - _lastTime).TotalSeconds;
            var value = sample();
            target.Report(value with
            {
                Elapsed = now,
                BytesPerSecond = seconds > 0 ? (value.TransferredBytes - _lastBytes) / seconds : 0,
            });
            _lastTime = now;
            _lastBytes = value.TransferredBytes;
        }
    }
}
