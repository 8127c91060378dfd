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

    internal AdmissionClock(TimeProvider time, EventFd wake)
    {
        _time = time;
        _wake = wake;
        _timer = time.CreateTimer(static state => ((EventFd)state!).Signal(), wake, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    internal long Now => _time.GetTimestamp();

    internal long After(TimeSpan delay) => Now + (long)(delay.TotalSeconds * _time.TimestampFrequency);

    /// <summary>
    /// Sees to it that the thread is woken at <paramref name="due"/> (<see cref="long.MaxValue"/>: never). A timer that is set for earlier
    /// is left alone: it costs one idle turn, and resetting it whenever the first connection goes would cost more.
    /// </summary>
    internal void WakeAt(long due)
    {
        long now = Now;
        if (_armedFor <= now)
            _armedFor = long.MaxValue; // it has fired
        if (due >= _armedFor)
            return;

        _armedFor = due;
        if (due <= now)
        {
            _wake.Signal();
            return;
        }

        // Rounded up: a timer has milliseconds, and one that fires too early would be set again and again.
        double milliseconds = (due - now) * 1000.0 / _time.TimestampFrequency;
        _timer.Change(TimeSpan.FromMilliseconds(Math.Ceiling(milliseconds)), Timeout.InfiniteTimeSpan);
    }

    public void Dispose() => _timer.Dispose();
}
