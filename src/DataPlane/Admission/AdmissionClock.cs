using DataPlane.Linux;

namespace DataPlane.Admission;

/// <summary>
/// The deadlines of the admission thread: the earliest one is a timer of the <see cref="TimeProvider"/> that wakes the thread out of its
/// poll. Used by that thread only.
/// </summary>
internal sealed class AdmissionClock : IDisposable
{
    private readonly TimeProvider _time;
    private readonly EventFd _wake;
    private readonly ITimer _timer;
    private long _armedFor = long.MaxValue;
    private volatile bool _hasFired;

    internal AdmissionClock(TimeProvider time, EventFd wake)
    {
        _time = time;
        _wake = wake;
        _timer = time.CreateTimer(static clock => ((AdmissionClock)clock!).Fire(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    internal long Now => _time.GetTimestamp();

    internal long After(TimeSpan delay) => Now + (long)(delay.TotalSeconds * _time.TimestampFrequency);

    /// <summary>
    /// Sees to it that the thread is woken at <paramref name="due"/> (<see cref="long.MaxValue"/>: never). A timer that is set for earlier
    /// is left alone: it costs one idle turn, and resetting it whenever the first connection goes would cost more.
    /// </summary>
    internal void WakeAt(long due)
    {
        // Only the timer itself says that it has fired. The system's timers go by a coarser clock than timestamps do and may fire some
        // milliseconds early, so a timer that is due later than now may be spent already.
        if (_hasFired)
        {
            _hasFired = false;
            _armedFor = long.MaxValue;
        }

        if (due >= _armedFor)
        {
            return;
        }

        _armedFor = due;
        var now = Now;
        if (due <= now)
        {
            Fire();
            return;
        }

        // Rounded up: a timer counts whole milliseconds.
        var milliseconds = (due - now) * 1000.0 / _time.TimestampFrequency;
        _timer.Change(TimeSpan.FromMilliseconds(Math.Ceiling(milliseconds)), Timeout.InfiniteTimeSpan);
    }

    public void Dispose() => _timer.Dispose();

    private void Fire()
    {
        _hasFired = true;
        _wake.Signal();
    }
}
