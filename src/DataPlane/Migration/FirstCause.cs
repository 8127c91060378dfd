namespace DataPlane.Migration;

/// <summary>
/// The first failure of a migration wins: it is recorded once and stops everything; what follows from it is not reported.
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
