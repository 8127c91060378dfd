namespace DataPlane.Migration;

/// <summary>
/// Records that our own host works while the peer rightly waits for it (a guest whose space on disk is filled with zeros, a device that
/// takes its time to be saved), or that something with a limit of its own is under way, such as connecting. A time limit for a silent peer
/// does not run meanwhile. Thread-safe.
/// </summary>
internal sealed class HostWork
{
    private int _under;
    private long _looks;

    /// <summary>
    /// Marks work as under way until the result is disposed of. The work must not include a wait for the peer that has no other limit.
    /// </summary>
    public IDisposable Begin()
    {
        Interlocked.Increment(ref _under);
        return new Work(this);
    }

    /// <summary>
    /// A count for a <see cref="StallWatch"/>: it moves with each call while work is under way, and otherwise with
    /// <paramref name="progress"/> alone.
    /// </summary>
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
