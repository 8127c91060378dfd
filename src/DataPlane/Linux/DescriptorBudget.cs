namespace DataPlane.Linux;

/// <summary>
/// Shares the descriptors that this process may have open (RLIMIT_NOFILE) among its admission loops, each of which holds a
/// <see cref="Share"/>. What the process itself and the channels of the migrations need is set aside first; undecided connections get the
/// rest. Thread-safe.
/// </summary>
internal sealed class DescriptorBudget
{
    /// <summary>Descriptors that are set aside for the process itself: runtime, libraries, logs, monitors, listeners, poll sets.</summary>
    public const long OfTheProcess = 256;

    private readonly Func<long> _limit;
    private readonly Lock _gate = new();
    private long _reserved;
    private int _shares;
    private long _perShare;

    /// <param name="limit">Returns how many descriptors may be open; called whenever a share is opened or closed.</param>
    public DescriptorBudget(Func<long> limit) => _limit = limit;

    public static DescriptorBudget Process { get; } = new(ReadLimit);

    /// <summary>Opens a share for an admission loop whose migration needs <paramref name="reserve"/> descriptors.</summary>
    public Share Open(long reserve) => new(this, reserve);

    private static unsafe long ReadLimit()
    {
        const int NumberOfFiles = 7;
        var both = stackalloc ulong[2]; // struct rlimit: soft and hard
        // SAFETY: the kernel writes the two numbers.
        return ProcessCalls.GetResourceLimit(NumberOfFiles, both) == 0 ? (long)Math.Min(both[0], long.MaxValue) : long.MaxValue;
    }

    private void Change(int shares, long reserve)
    {
        lock (_gate)
        {
            _shares += shares;
            _reserved += reserve;
            var limit = _limit();
            // A process with a very low limit keeps a quarter of it for itself, so that something is left to share.
            var free = limit - Math.Min(OfTheProcess, limit / 4) - _reserved;
            Volatile.Write(ref _perShare, Math.Max(0, free / Math.Max(1, _shares)));
        }
    }

    /// <summary>The share of one admission loop, which ends when this is disposed of.</summary>
    public sealed class Share : IDisposable
    {
        private readonly DescriptorBudget _budget;
        private readonly long _reserve;
        private int _isClosed;

        public Share(DescriptorBudget budget, long reserve)
        {
            _budget = budget;
            _reserve = reserve;
            budget.Change(1, reserve);
        }

        /// <summary>Descriptors that undecided connections of this share may have now; fewer while other shares are open.</summary>
        public long ForStrangers => Volatile.Read(ref _budget._perShare);

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isClosed, 1) == 0)
            {
                _budget.Change(-1, -_reserve);
            }
        }
    }
}
