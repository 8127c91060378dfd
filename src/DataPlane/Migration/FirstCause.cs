namespace DataPlane.Migration;

/// <summary>
/// Records the first failure of a migration, which stops everything. Later failures follow from it and are not reported. Thread-safe.
/// </summary>
internal sealed class FirstCause : IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private Exception? _cause;

    /// <summary>Cancelled at the first failure.</summary>
    public CancellationToken Token => _stop.Token;

    public Exception? Cause => Volatile.Read(ref _cause);

    public void Record(Exception cause)
    {
        if (Interlocked.CompareExchange(ref _cause, cause, null) is null)
        {
            _stop.Cancel();
        }
    }

    public void Dispose() => _stop.Dispose();
}
