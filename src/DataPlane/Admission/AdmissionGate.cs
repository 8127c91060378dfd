using DataPlane.Transport;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Admission;

/// <summary>
/// Lets connections in that have proved which channel they are: each gets its place among the facts, becomes an
/// <see cref="AdmittedChannel"/> and is delivered. Used by the admission thread only.
/// </summary>
internal sealed class AdmissionGate(
    UndecidedSet undecided,
    UndecidedDeadlines deadlines,
    AdmissionFacts facts,
    AdmissionCounters counters,
    EvictionMemory evictions,
    AdmissionClock clock,
    BlockPool pool,
    TimeProvider time,
    ILogger logger)
{
    private long _evictionsToldUntil = long.MinValue;

    /// <summary>Takes over each admitted channel. It must not wait.</summary>
    public required Action<AdmittedChannel> Deliver { get; init; }

    /// <summary>Admits a connection that is polled no more.</summary>
    public void Admit(UndecidedConnection connection, ChannelKind kind, AdmissionVerdict verdict)
    {
        var admitted = new AdmittedChannel(connection.Socket, connection.Session, pool, time)
        {
            Kind = kind,
            Id = Establish(connection, kind, verdict),
            Recovered = verdict.IsRecovered,
            Epoch = facts.Epoch,
            Peer = connection.Peer,
            PeerGroup = connection.PeerGroup,
            Consumed = connection.Consumed,
            Decision = clock.SinceTurn,
        };
        var left = undecided.Count - 1;
        counters.Admit(kind, admitted.Decision, left);
        AdmissionLog.Admitted(logger, admitted.Name, connection.Peer, admitted.Decision, left);
        if (kind != ChannelKind.Tls)
        {
            TellOfEvictions(connection.PeerGroup, admitted.Name);
        }

        Deliver(admitted);

        // This comes last: a host that looks at the undecided connections and then at the admitted channels must find it in one of them.
        undecided.Remove(connection);
        deadlines.Rearm(connection.PeerGroup);
        if (kind == ChannelKind.Preempt)
        {
            deadlines.EndCandidacies();
        }
    }

    /// <summary>Records the new channel in the facts, and returns the id of a multifd channel or 0.</summary>
    private int Establish(UndecidedConnection connection, ChannelKind kind, AdmissionVerdict verdict)
    {
        switch (kind)
        {
            case ChannelKind.Main when verdict.IsOneOfSeveral:
                return 0; // it becomes main when the host confirms it
            case ChannelKind.Main:
                facts.AddMain(connection.PeerGroup, verdict.IsRecovered);
                return 0;
            case ChannelKind.Preempt:
                facts.AddPreempt(connection.PeerGroup);
                return 0;
            case ChannelKind.Multifd:
                if (!MultifdInit.TryRead(connection.Opening, out var init, out var error))
                {
                    throw new InvalidOperationException($"The rules let an init packet through that cannot be read: {error}.");
                }

                facts.AddMultifd(init.Id, init.Uuid, connection.PeerGroup);
                return init.Id;
            default:
                return 0; // a TLS session does not show which channel it is
        }
    }

    /// <summary>
    /// Warns that connections of this address were given up for want of room, one of which may have been a channel of the same migration.
    /// </summary>
    private void TellOfEvictions(PeerGroup peerGroup, string channel)
    {
        if (evictions.Take(peerGroup) is { Count: > 0 } evicted && clock.Now >= _evictionsToldUntil)
        {
            _evictionsToldUntil = clock.After(RefusalThrottle.Window);
            AdmissionLog.EvictedBefore(logger, evicted.Count, peerGroup.ToString(), evicted.Last, channel);
        }
    }
}
