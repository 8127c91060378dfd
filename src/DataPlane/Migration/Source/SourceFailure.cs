using DataPlane.Migration.Custody;

namespace DataPlane.Migration.Source;

/// <summary>What ends a migration at its source before its time. The first cause stops everything. Thread-safe.</summary>
internal sealed class SourceFailure(SourceCustody custody) : IDisposable
{
    private readonly FirstCause _first = new();

    /// <summary>Cancelled at the first cause.</summary>
    public CancellationToken Stopped => _first.Token;

    /// <summary>The first cause; null while there is none.</summary>
    public Exception? Cause => _first.Cause;

    public void Record(Exception cause) => _first.Record(cause);

    /// <summary>
    /// Ends the migration from outside of the flow that hands the guest over, unless the guest has begun to leave. The custody decides
    /// which of the two comes first, because nobody would start a guest again that leaves over channels which have been aborted.
    /// </summary>
    public void CallOff(Exception cause)
    {
        if (custody.On(SourceEvent.CalledOff) == SourceVerdict.RunHere)
        {
            _first.Record(cause);
        }
    }

    public void Cancel() => CallOff(new OperationCanceledException("the migration was cancelled"));

    public void Dispose() => _first.Dispose();
}
