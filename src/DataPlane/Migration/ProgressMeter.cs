namespace DataPlane.Migration;

/// <summary>
/// Adds time and rate to the samples of a migration and reports them, one at a time. An exception of the receiver is ignored: it would end
/// a migration in the middle of its hand-over, or the process if it came in a timer.
/// </summary>
internal sealed class ProgressMeter(IProgress<MigrationProgress>? target, PhaseClock clock)
{
    private readonly Lock _gate = new();
    private TimeSpan _lastTime;
    private long _lastBytes;

    /// <summary>Whether there is a receiver of reports.</summary>
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
            try
            {
                target.Report(value with
                {
                    Elapsed = now,
                    BytesPerSecond = seconds > 0 ? (value.TransferredBytes - _lastBytes) / seconds : 0,
                });
            }
            catch (Exception)
            {
                // The host's receiver has failed, which must not end the migration.
            }

            _lastTime = now;
            _lastBytes = value.TransferredBytes;
        }
    }
}
