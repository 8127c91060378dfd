using DataPlane.Linux;
using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane.Admission;

/// <summary>
/// Takes connections into the set of undecided ones: those that were accepted, and those that come out of a TLS handshake. Each is read and
/// judged at once; what stays undecided is polled, and others go if there is no room for it. Used by the admission thread only.
/// </summary>
internal sealed class Arrivals(
    AdmissionOptions options,
    EpollSet epoll,
    AdmissionClock clock,
    AdmissionCounters counters,
    UndecidedSet undecided,
    UndecidedDeadlines deadlines,
    UndecidedRoom room,
    Handshakes handshakes,
    Refusals refusals,
    ConnectionJudge judge,
    ulong firstKey)
{
    /// <summary>How many connections are read once more, at most, before one is given up for want of room.</summary>
    private const int MostLooks = 8;

    private ulong _nextKey = firstKey;

    /// <summary>Takes a connection that was accepted.</summary>
    public void Take(AcceptedSocket accepted)
    {
        var connection = new UndecidedConnection(_nextKey++, accepted, clock.Now);
        undecided.Add(connection, deadlines.OfSilence);
        counters.Arrived(undecided.Count);
        if (options.Allows(connection.PeerGroup))
        {
            Begin(connection);
        }
        else
        {
            refusals.Refuse(connection, RefusalReason.NotAllowed);
        }
    }

    /// <summary>
    /// Takes the results of handshakes that have ended: each replaces a connection by the one inside TLS, which is as silent and undecided
    /// as a new one.
    /// </summary>
    public void TakeUpgraded()
    {
        while (handshakes.TryTake(out var end))
        {
            if (!undecided.Contains(end.Connection))
            {
                end.Result?.Dispose(); // refused meanwhile
            }
            else if (end.Result is null)
            {
                refusals.Refuse(end.Connection, RefusalReason.TlsHandshake, end.Error);
            }
            else
            {
                GoInside(end.Connection, end.Result);
            }
        }
    }

    private void GoInside(UndecidedConnection connection, UpgradedConnection upgraded)
    {
        undecided.Remove(connection);
        handshakes.Complete(connection);
        var inside = new UndecidedConnection(_nextKey++, new AcceptedSocket(upgraded.Socket, connection.Address), clock.Now)
        {
            IsInside = true,
            Session = upgraded.Session,
        };
        undecided.Add(inside, deadlines.OfSilence);
        Begin(inside);
    }

    private void Begin(UndecidedConnection connection)
    {
        // Most honest peers have sent something before they are accepted. They are decided here, need no room, and are never polled.
        judge.Read(connection);
        if (!undecided.Contains(connection))
        {
            return;
        }

        if (!connection.IsHeld && !connection.TryPoll(epoll))
        {
            refusals.Refuse(connection, RefusalReason.Evicted);
            return;
        }

        // More than one may have to go: the share of descriptors shrinks when another admission is opened in this process.
        for (var looks = 0; undecided.Count > 0 && room.VictimFor(connection) is { } victim; looks++)
        {
            Evict(victim, isLookedAt: victim == connection || looks >= MostLooks);
            if (!undecided.Contains(connection))
            {
                return;
            }
        }
    }

    /// <summary>
    /// Gives up <paramref name="victim"/> for want of room. It may have sent something since the thread last read from it, because new
    /// connections may have had their turn before it. So it is read once more, unless <paramref name="isLookedAt"/> rules that out, and
    /// what it has sent may make another connection the one to go.
    /// </summary>
    private void Evict(UndecidedConnection victim, bool isLookedAt)
    {
        if (!isLookedAt && !victim.IsHeld)
        {
            var wasSilent = victim.IsSilent;
            judge.Read(victim);
            if (!undecided.Contains(victim) || victim.IsHeld || victim.IsSilent != wasSilent)
            {
                return;
            }
        }

        room.GiveUp(victim);
    }
}
