using Microsoft.Extensions.Logging;

namespace DataPlane.Admission;

/// <summary>
/// Refuses connections: each leaves the set of undecided ones, is closed, counted, logged as far as strangers may fill a log, and reported.
/// Used by the admission thread only.
/// </summary>
internal sealed class Refusals(
    UndecidedSet undecided,
    Handshakes handshakes,
    AdmissionFacts facts,
    AdmissionCounters counters,
    EvictionMemory evictions,
    TimeProvider time,
    ILogger logger)
{
    // Refusals at the migration's addresses are throttled apart, so that a crowd of strangers cannot keep them out of the log.
    private readonly RefusalThrottle _ofMigration = new(time);
    private readonly RefusalThrottle _ofStrangers = new(time);

    /// <summary>Reports each refusal: reason, peer and detail. It must not wait.</summary>
    public required Action<RefusalReason, string, string?> Report { get; init; }

    /// <summary>The time at which <see cref="LogLeftOut"/> has something to log; <see cref="long.MaxValue"/> if it has nothing.</summary>
    public long LogDue => Math.Min(_ofStrangers.Due, _ofMigration.Due);

    public void Refuse(UndecidedConnection connection, RefusalReason reason, string? detail = null)
    {
        if (reason == RefusalReason.Evicted)
        {
            evictions.Note(connection.PeerGroup, connection.Peer);
        }

        undecided.Remove(connection);
        // A handshake notices that only when its own thread runs. The socket is closed at once: descriptors that are no longer counted
        // would pile up as fast as strangers connect.
        handshakes.Cancel(connection);
        counters.Refuse(reason, undecided.Count); // first, so that whoever sees the connection's end finds it counted
        connection.Close(); // which also takes it out of the poll set
        if ((facts.IsOfMigration(connection.PeerGroup) ? _ofMigration : _ofStrangers).TryPass(reason, connection.Peer))
        {
            AdmissionLog.Refused(logger, connection.Peer, connection.Opening.Length, reason, detail is null ? "" : $" ({detail})");
        }

        Report(reason, connection.Peer, detail);
    }

    /// <summary>Counts, logs and reports what was admitted and turned out to be no migration.</summary>
    public void NoteFalseStart(FalseStart start)
    {
        counters.RefuseAdmitted(RefusalReason.FalseStart);
        if (_ofStrangers.TryPass(RefusalReason.FalseStart, start.Peer))
        {
            AdmissionLog.FalseStart(logger, start.Peer, start.Detail);
        }

        Report(RefusalReason.FalseStart, start.Peer, start.Detail);
    }

    /// <summary>Logs how many refusals were not logged one by one, where that is due, or everywhere.</summary>
    public void LogLeftOut(bool all)
    {
        ReadOnlySpan<RefusalThrottle> throttles = [_ofStrangers, _ofMigration];
        foreach (var throttle in throttles)
        {
            foreach ((var reason, var count, var peer) in throttle.TakeLeftOut(all))
            {
                AdmissionLog.RefusedMore(logger, count, peer, reason);
            }
        }
    }
}
