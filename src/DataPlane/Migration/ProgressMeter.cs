namespace DataPlane.Migration;

/// <summary>
/// Adds time and rate to the samples of a migration and gives them to the host's receiver, one at a time and in their order. An exception
/// of the receiver is ignored: it would end a migration in the middle of its hand-over, or the process if it came in a timer.
/// </summary>
/// <remarks>
/// Thread-safe. The receiver is the host's code, so it is never called under a lock, and nobody waits for it but whoever asks to
/// (<see cref="DrainAsync"/>). A report that comes while the receiver is busy is told afterwards by another thread. Of several that wait
/// in a row and tell of the same state, only the newest is kept: so a slow receiver makes no queue.
/// </remarks>
internal sealed class ProgressMeter(IProgress<MigrationProgress>? target, PhaseClock clock)
{
    private readonly Lock _gate = new(); // guards every field below
    private readonly LinkedList<Entry> _waiting = [];
    private bool _busy;
    private TimeSpan _lastTime;
    private long _lastBytes;

    /// <summary>Whether there is a receiver of reports.</summary>
    public bool IsWanted => target is not null;

    /// <summary>
    /// Gives what <paramref name="sample"/> returns to the receiver: on this thread before the return, unless the receiver is busy.
    /// </summary>
    public void Report(Func<MigrationProgress> sample)
    {
        if (target is null)
        {
            return;
        }

        lock (_gate)
        {
            Add(Measure(sample()));
            if (_busy)
            {
                return;
            }

            _busy = true;
        }

        DeliverOne();
    }

    /// <summary>Completes when the receiver has been told everything that was reported before.</summary>
    public Task DrainAsync()
    {
        lock (_gate)
        {
            if (!_busy)
            {
                return Task.CompletedTask;
            }

            var told = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.AddLast(new Entry(null, told));
            return told.Task;
        }
    }

    private MigrationProgress Measure(MigrationProgress value)
    {
        var now = clock.Elapsed;
        var seconds = (now - _lastTime).TotalSeconds;
        var rate = seconds > 0 ? (value.TransferredBytes - _lastBytes) / seconds : 0;
        (_lastTime, _lastBytes) = (now, value.TransferredBytes);
        return value with { Elapsed = now, BytesPerSecond = rate };
    }

    private void Add(MigrationProgress value)
    {
        if (_waiting.Last?.Value.Value is { } last
            && (last.Phase, last.IsPaused, last.IsRecovering) == (value.Phase, value.IsPaused, value.IsRecovering))
        {
            _waiting.RemoveLast();
        }

        _waiting.AddLast(new Entry(value, null));
    }

    /// <summary>
    /// Tells the receiver one report. What waits after that is left to a thread of the pool: the caller may be the migration itself, which
    /// must not be kept by the reports of a timer.
    /// </summary>
    private void DeliverOne()
    {
        if (TryTake(out var value))
        {
            try
            {
                target!.Report(value);
            }
            catch (Exception)
            {
                // The host's receiver has failed, which must not end the migration.
            }

            if (HasMore())
            {
                ThreadPool.UnsafeQueueUserWorkItem(static meter => meter.DeliverOne(), this, preferLocal: false);
            }
        }
    }

    /// <summary>Takes the next report. Whoever waits for those before it is told. Returns false if there is none.</summary>
    private bool TryTake([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out MigrationProgress? value)
    {
        lock (_gate)
        {
            while (_waiting.First is { Value: var next })
            {
                _waiting.RemoveFirst();
                next.Told?.SetResult();
                if (next.Value is not null)
                {
                    value = next.Value;
                    return true;
                }
            }

            _busy = false;
            value = null;
            return false;
        }
    }

    /// <summary>Tells those who wait for the report that has just been delivered. Returns whether another one waits.</summary>
    private bool HasMore()
    {
        lock (_gate)
        {
            while (_waiting.First is { Value.Told: { } told })
            {
                _waiting.RemoveFirst();
                told.SetResult();
            }

            _busy = _waiting.Count > 0;
            return _busy;
        }
    }

    /// <summary>A report that waits, or somebody who waits until those before have been told.</summary>
    private sealed record Entry(MigrationProgress? Value, TaskCompletionSource? Told);
}
