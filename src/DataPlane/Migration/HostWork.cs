namespace DataPlane.Migration;

/// <summary>
/// Says while our own host works and the peer rightly waits for it: a guest whose space on disk is filled with zeros, a device that takes
/// its time to be saved; or while something is under way that has a limit of its own, such as connecting. A time limit for a silent peer
/// does not run meanwhile. Thread-safe.
/// </summary>
internal sealed class HostWork
{
    private int _under;
    private long _looks;

    /// <summary>Lasts until the result is disposed of. Only for work in which nobody waits for the peer without another limit.</summary>
    public IDisposable Begin()
    {
        Interlocked.Increment(ref _under);
        return new Work(this);
    }

    /// <summary>A count that moves with each look while work is under way, and else with <paramref name="progress"/> alone.</summary>
    public long Count(long progress) => Volatile.Read(ref _under) == 0 ? progress + Volatile.Read(ref _looks)
        : progress + Interlocked.Increment(ref _looks);

    private sealed class Work(HostWork work) : IDisposable
    {
        private int _isOver;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isOver, 1) == 0)
            {
                Interlocked.Decrement(ref work._under);
            }
        }
    }
}
