namespace DataPlane.Migration;

/// <summary>
/// Calls back once when a counter has not moved for a time. It looks four times per limit, so it fires after 1 to 1.25 limits.
/// </summary>
internal sealed class StallWatch : IDisposable
{
    private readonly TimeProvider _time;
    private readonly TimeSpan _limit;
    private readonly Func<long> _progress;
    private readonly Action _stalled;
    private readonly ITimer _timer;
    private long _lastValue;
    private long _lastMove;
    private int _fired;

    private StallWatch(TimeProvider time, TimeSpan limit, Func<long> progress, Action stalled)
    {
        _time = time;
        _limit = limit;
        _progress = progress;
        _stalled = stalled;
        _lastValue = progress();
        _lastMove = time.GetTimestamp();
        var period = limit / 4;
        _timer = time.CreateTimer(static watch => ((StallWatch)watch!).Check(), this, period, period);
    }

    /// <summary>Starts a watch; null when there is no <paramref name="limit"/>.</summary>
    public static StallWatch? Start(TimeProvider time, TimeSpan? limit, Func<long> progress, Action stalled) =>
        limit is { } value ? new StallWatch(time, value, progress, stalled) : null;

    public void Dispose() => _timer.Dispose();

    private void Check()
    {
        var value = _progress();
        if (value != _lastValue)
        {
            _lastValue = value;
            _lastMove = _time.GetTimestamp();
        }
        else if (_time.GetElapsedTime(_lastMove) >= _limit && Interlocked.Exchange(ref _fired, 1) == 0)
        {
            _stalled();
        }
    }
}
