namespace DataPlane.Tests.Guard;

/// <summary>The system's clock, with a count of the timers that somebody holds.</summary>
internal sealed class TimerCount : TimeProvider
{
    private int _timers;

    internal int Timers => Volatile.Read(ref _timers);

    /// <summary>What stands in the way of a timer of that length: as when the system has no memory for what is about to be made.</summary>
    internal Func<TimeSpan, Exception?> Lacks { get; set; } = static _ => null;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        if (Lacks(dueTime) is { } lack)
        {
            throw lack;
        }

        Interlocked.Increment(ref _timers);
        return new Counted(this, base.CreateTimer(callback, state, dueTime, period));
    }

    private sealed class Counted(TimerCount count, ITimer timer) : ITimer
    {
        private int _disposed;

        public bool Change(TimeSpan dueTime, TimeSpan period) => timer.Change(dueTime, period);

        public void Dispose()
        {
            Release();
            timer.Dispose();
        }

        public ValueTask DisposeAsync()
        {
            Release();
            return timer.DisposeAsync();
        }

        private void Release()
        {
            if (Interlocked.Exchange(ref _disposed, 1) == 0)
            {
                Interlocked.Decrement(ref count._timers);
            }
        }
    }
}
