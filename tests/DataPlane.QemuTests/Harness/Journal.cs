namespace DataPlane.QemuTests.Harness;

/// <summary>An append-only record of what a process has said; waiting for an entry needs no polling. Thread-safe.</summary>
internal sealed class Journal<T>(string name)
{
    private readonly Lock _gate = new();
    private readonly List<T> _entries = [];
    private TaskCompletionSource _changed = NewSignal();
    private bool _ended;

    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _entries.Count;
            }
        }
    }

    public IReadOnlyList<T> Snapshot()
    {
        lock (_gate)
        {
            return [.. _entries];
        }
    }

    public void Add(T entry) => Change(() => _entries.Add(entry));

    /// <summary>Nothing more will come: those who wait are told so.</summary>
    public void End() => Change(() => _ended = true);

    /// <summary>The first entry at or after <paramref name="from"/> that matches, waiting for it if need be.</summary>
    /// <exception cref="EndOfStreamException">The other side ended without it.</exception>
    /// <exception cref="TimeoutException">It did not come in time.</exception>
    public async Task<T> WaitForAsync(
        Func<T, bool> match, string what, int from = 0, TimeSpan? timeout = null, CancellationToken token = default)
    {
        var limit = timeout ?? Patience.Default;
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(token);
        deadline.CancelAfter(limit);
        for (var next = from; ;)
        {
            Task changed;
            bool ended;
            lock (_gate)
            {
                for (; next < _entries.Count; next++)
                {
                    if (match(_entries[next]))
                    {
                        return _entries[next];
                    }
                }

                ended = _ended;
                changed = _changed.Task;
            }

            if (ended)
            {
                throw new EndOfStreamException($"{name} ended before {what}; last: {Tail()}");
            }

            try
            {
                await changed.WaitAsync(deadline.Token);
            }
            catch (OperationCanceledException) when (!token.IsCancellationRequested)
            {
                throw new TimeoutException($"{name}: {what} did not come within {limit.TotalSeconds:0} s; last: {Tail()}");
            }
        }
    }

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private string Tail() => string.Join(" | ", Snapshot().TakeLast(5));

    private void Change(Action action)
    {
        TaskCompletionSource signal;
        lock (_gate)
        {
            action();
            signal = _changed;
            _changed = NewSignal();
        }

        signal.SetResult();
    }
}
