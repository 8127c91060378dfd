using DataPlane.Linux;
using DataPlane.Transport;
using DataPlane.Transport.Tls;
using Microsoft.Extensions.Logging;

namespace DataPlane.Admission;

/// <summary>
/// Reads undecided connections and does with each what the rules say: admits it, refuses it, hands it to a TLS handshake, or keeps it.
/// Used by the admission thread only.
/// </summary>
internal sealed class ConnectionJudge(
    AdmissionOptions options,
    AdmissionFacts facts,
    EpollSet epoll,
    UndecidedSet undecided,
    UndecidedDeadlines deadlines,
    RequestedChanges changes,
    Handshakes handshakes,
    Refusals refusals,
    AdmissionGate gate,
    ILogger logger)
{
    // A source closes what it had before it comes again, and then keeps all channels until it has been told that its guest runs.
    private const string OfLostLink = "its source had closed it before the recovery took it, as it does with the channels of a lost link";

    /// <summary>Reads what is there, without waiting, and judges it until the connection is decided or has sent no more.</summary>
    public void Read(UndecidedConnection connection)
    {
        ReadOutcome outcome;
        do
        {
            var wasSilent = connection.IsSilent;
            outcome = connection.Read();
            if (outcome == ReadOutcome.Gone)
            {
                refusals.Refuse(connection, RefusalReason.Closed, connection.TlsEnding);
            }

            if (outcome is ReadOutcome.Gone or ReadOutcome.Nothing)
            {
                return;
            }

            if (wasSilent)
            {
                deadlines.BeginToSpeak(connection);
            }

            Decide(connection);
            connection.Show();
        }
        while (outcome == ReadOutcome.Full && !connection.IsHeld && undecided.Contains(connection));
    }

    /// <summary>
    /// Judges the connections again that began with a page record, a recovery command or the magic of main, because the facts or the host's
    /// answers have changed.
    /// </summary>
    public void DecideRecords()
    {
        if (!undecided.HasRecords)
        {
            return;
        }

        foreach (var connection in undecided.Records)
        {
            if (undecided.Contains(connection))
            {
                Decide(connection);
            }
        }
    }

    private void Decide(UndecidedConnection connection)
    {
        var verdict = JudgeByPresentFacts(connection);
        if (verdict.Refused is { } reason)
        {
            refusals.Refuse(connection, reason);
        }
        else if (verdict.Admitted == ChannelKind.Tls && options.Upgrade is { } upgrade)
        {
            BeginHandshake(connection, upgrade);
        }
        else if (verdict.IsRecovered && connection.HasEnded)
        {
            refusals.Refuse(connection, RefusalReason.Closed, OfLostLink);
        }
        else if (verdict.Admitted is { } kind)
        {
            Admit(connection, kind, verdict);
        }
        else
        {
            if (verdict.IsHeld && !connection.IsHeld)
            {
                Hold(connection);
            }

            deadlines.ShortenBesidePreempt(connection);
        }
    }

    /// <summary>
    /// Judges until no place was freed meanwhile. A host that pauses first frees main's place and then says that it is paused. Judged by
    /// the second without the first, the source that comes again would be refused beside the main channel that it has lost.
    /// </summary>
    private AdmissionVerdict JudgeByPresentFacts(UndecidedConnection connection)
    {
        AdmissionVerdict verdict;
        do
        {
            changes.FreePlaces();
            verdict = Judge(connection);
        }
        while (changes.ArePending);

        return verdict;
    }

    private AdmissionVerdict Judge(UndecidedConnection connection)
    {
        try
        {
            return AdmissionRules.Judge(connection.Opening, connection.PeerGroup, facts, connection.IsInside);
        }
        catch (Exception e)
        {
            // An error of the host must not end admission for all connections.
            AdmissionLog.HostThrew(logger, connection.Peer, e);
            return AdmissionVerdict.Held;
        }
    }

    private void Admit(UndecidedConnection connection, ChannelKind kind, AdmissionVerdict verdict)
    {
        connection.Unpoll(epoll);
        gate.Admit(connection, kind, verdict);

        // One of several has changed no fact. To judge all others for each of them would cost a call inside the other, and the square of
        // their number.
        if (kind is ChannelKind.Main or ChannelKind.Preempt && !verdict.IsOneOfSeveral)
        {
            DecideRecords();
        }
    }

    /// <summary>
    /// Keeps a connection without reading more from it. What follows stays in the socket, and an end of the stream after a proof does not
    /// take the proof back.
    /// </summary>
    private void Hold(UndecidedConnection connection)
    {
        connection.IsHeld = true;
        deadlines.Hold(connection);
        connection.Unpoll(epoll);
        if (RecoveryOpening.MayBe(connection.Opening))
        {
            TellOfRecovery(connection);
        }
    }

    private void TellOfRecovery(UndecidedConnection connection)
    {
        try
        {
            facts.Host.OnRecoveryHeld();
        }
        catch (Exception e)
        {
            AdmissionLog.HostThrew(logger, connection.Peer, e);
        }
    }

    /// <summary>
    /// Hands a connection to a TLS handshake. It stays undecided, with a deadline of its own, and can be refused like any other.
    /// </summary>
    private void BeginHandshake(UndecidedConnection connection, IChannelUpgrade upgrade)
    {
        connection.Unpoll(epoll);
        connection.IsHeld = true;
        deadlines.BeginHandshake(connection);
        if (handshakes.Add(connection) is { } victim)
        {
            refusals.Refuse(victim, RefusalReason.Evicted, $"more than {options.HandshakesAtOnce} TLS handshakes were under way");
        }

        if (undecided.Contains(connection)) // else it was the victim itself, and is closed
        {
            handshakes.Start(connection, upgrade);
        }
    }
}
