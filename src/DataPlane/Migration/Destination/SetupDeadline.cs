namespace DataPlane.Migration.Destination;

/// <summary>
/// The limit on the time that a migration may take from one of its channels to the next, and from the last one to the end of its block
/// list. It ends in one of two ways, whichever comes first: the time is over, or the guest's memory is about to be created.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class SetupDeadline : IDisposable
{
    private const int Running = 0;
    private const int Expired = 1;
    private const int Passed = 2;

    private readonly TimeSpan _limit;
    private readonly ITimer _timer;
    private int _state;

    /// <param name="limit">The longest wait.</param>
    /// <param name="expired">Called when the time is over; at most once.</param>
    /// <param name="time">The clock.</param>
    public SetupDeadline(TimeSpan limit, Action expired, TimeProvider time)
    {
        _limit = limit;
        _timer = time.CreateTimer(
            _ =>
            {
                if (Interlocked.CompareExchange(ref _state, Expired, Running) == Running)
                {
                    expired();
                }
            },
            null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Begins the time anew, because something has come. The first call starts it.</summary>
    public void Rearm()
    {
        if (Volatile.Read(ref _state) == Running)
        {
            _timer.Change(_limit, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Ends the limit, which never expires from now on. Returns false if it has expired already.</summary>
    public bool TryPass() => Interlocked.CompareExchange(ref _state, Passed, Running) == Running;

    public void Dispose() => _timer.Dispose();
}
