namespace DataPlane.Guard.Session;

/// <summary>
/// The tasks of a session beside its loop: timers, handshakes, questions to the monitor. <see cref="DisposeAsync"/> cancels them and waits
/// for the end of each. Thread-safe.
/// </summary>
internal sealed class SessionTasks : IAsyncDisposable
{
    private readonly CancellationTokenSource _ending = new();
    private readonly Lock _gate = new();

    /// <summary>The tasks that have not ended. The gate guards it.</summary>
    private readonly HashSet<Task> _running = [];

    public SessionTasks() => Ending = _ending.Token;

    /// <summary>Is cancelled when the session ends. It may be asked even after that.</summary>
    public CancellationToken Ending { get; }

    /// <summary>
    /// Runs <paramref name="work"/>, which must end soon after its token is cancelled. Its failure is the caller's to see.
    /// </summary>
    public Task Run(Func<CancellationToken, Task> work)
    {
        var task = work(Ending);
        if (!task.IsCompleted)
        {
            lock (_gate)
            {
                _running.Add(task);
            }

            _ = task.ContinueWith(
                Remove, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }

        return task;
    }

    /// <summary>Cancels the tasks, and does not wait for them: some end only when the relays have.</summary>
    public Task CancelAsync() => _ending.CancelAsync();

    public async ValueTask DisposeAsync()
    {
        await CancelAsync().ConfigureAwait(false);
        while (Running() is { Length: > 0 } running)
        {
            await Task.WhenAll(running).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        _ending.Dispose();
    }

    private void Remove(Task ended)
    {
        lock (_gate)
        {
            _running.Remove(ended);
        }
    }

    private Task[] Running()
    {
        lock (_gate)
        {
            _running.RemoveWhere(static task => task.IsCompleted);
            return [.. _running];
        }
    }
}
