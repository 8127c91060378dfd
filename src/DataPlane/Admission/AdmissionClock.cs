using DataPlane.Linux;

namespace DataPlane.Admission;

/// <summary>
/// The clock of the admission thread, by a <see cref="TimeProvider"/>, and its timer, which wakes the thread out of its poll at the
/// earliest deadline. The members are called by that thread only; the callback of the timer runs on another one.
/// </summary>
internal sealed class AdmissionClock : IDisposable
{
    private readonly TimeProvider _time;
    private readonly EventFd _wake;
    private readonly ITimer _timer;
    private long _armedFor = long.MaxValue;
    private long _turn;
    private volatile bool _hasFired; // set by the timer's callback, on any thread

    public AdmissionClock(TimeProvider time, EventFd wake)
    {
        _time = time;
        _wake = wake;
        _timer = time.CreateTimer(
            static clock => ((AdmissionClock)clock!).Fire(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public long Now => _time.GetTimestamp();

    /// <summary>The time since the poll that has brought what the thread works on.</summary>
    public TimeSpan SinceTurn => _time.GetElapsedTime(_turn);

    /// <summary>Notes that a poll has just returned.</summary>
    public void BeginTurn() => _turn = Now;

    public long After(TimeSpan delay) => Now + (long)(delay.TotalSeconds * _time.TimestampFrequency);

    /// <summary>
    /// Wakes the thread at <paramref name="due"/>, a timestamp of the clock; <see cref="long.MaxValue"/> means never. A timer that is set
    /// for an earlier time is left alone: it costs one idle turn, and resetting it whenever the connection with the earliest deadline
    /// leaves would cost more.
    /// </summary>
    public void WakeAt(long due)
    {
        // Only the callback shows that the timer has fired. The system's timers go by a coarser clock than timestamps do and may fire some
        // milliseconds early, so a timer that is due later than now may have fired already.
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
        if (due - Now is > 0 and var left)
        {
            // A timer counts whole milliseconds, and rounding down would wake the thread before the deadline.
            var milliseconds = left * 1000.0 / _time.TimestampFrequency;
            _timer.Change(TimeSpan.FromMilliseconds(Math.Ceiling(milliseconds)), Timeout.InfiniteTimeSpan);
        }

        // The thread may have stood still, or a test may have moved the clock, between the look at it and the setting of the timer.
        if (due <= Now)
        {
            Fire();
        }
    }

    public void Dispose() => _timer.Dispose();

    private void Fire()
    {
        _hasFired = true;
        _wake.Signal();
    }
}
