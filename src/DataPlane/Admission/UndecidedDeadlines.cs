using DataPlane.Transport;

namespace DataPlane.Admission;

/// <summary>
/// How long undecided connections may wait for what: every rule about their deadlines, and what becomes of a connection whose deadline is
/// over. <see cref="UndecidedSet"/> keeps the deadlines in order. Used by the admission thread only.
/// </summary>
internal sealed class UndecidedDeadlines(UndecidedSet undecided, AdmissionFacts facts, AdmissionOptions options, AdmissionClock clock)
{
    /// <summary>
    /// How long a page record may stay beside an admitted preempt channel whose link the host may have lost unnoticed. A source comes again
    /// when its old link has ended, and the host hears of that end at about the same time (the guard within 1 s, unless its machine has too
    /// few cores). A stranger at the source's address holds a place for this time.
    /// </summary>
    private static readonly TimeSpan s_besidePreempt = TimeSpan.FromSeconds(3);

    /// <summary>The deadline of a connection that has just begun to be silent.</summary>
    public long OfSilence => clock.After(options.UndecidedTimeout);

    /// <summary>Notes that the first bytes of a connection have come, and gives it the time for its proof.</summary>
    public void BeginToSpeak(UndecidedConnection connection) =>
        undecided.BeginToSpeak(connection, clock.After(options.IncompleteTimeout));

    /// <summary>Gives a connection the time for its TLS handshake.</summary>
    public void BeginHandshake(UndecidedConnection connection) =>
        undecided.Defer(connection, clock.After(options.HandshakeTimeout));

    /// <summary>
    /// Gives the host its time to judge a connection. A recovery is held twice as long: the host may need that time to find out that its
    /// link is dead. A main channel waits until the one before it is settled or given up, for which the host has a deadline.
    /// </summary>
    public void Hold(UndecidedConnection connection) =>
        undecided.Defer(connection, MainOpening.MayBe(connection.Opening) ? long.MaxValue
            : IsBesidePreempt(connection) ? connection.Deadline
            : clock.After(RecoveryOpening.MayBe(connection.Opening) ? 2 * options.UndecidedTimeout : options.IncompleteTimeout));

    /// <summary>
    /// Shortens the time of a connection that stays undecided, if it has sent a page record beside a preempt channel. Whether the record is
    /// whole or not, and however often it is judged, the time only becomes shorter.
    /// </summary>
    public void ShortenBesidePreempt(UndecidedConnection connection)
    {
        if (IsBesidePreempt(connection))
        {
            undecided.Defer(connection, Math.Min(connection.Deadline, clock.After(s_besidePreempt)));
        }
    }

    /// <summary>Gives the silent connections of an address their time anew, because a channel has come from there.</summary>
    public void Rearm(PeerGroup peerGroup) => undecided.Rearm(peerGroup, OfSilence);

    /// <summary>Gives the connections without a deadline one, because nothing is left that they may wait for.</summary>
    public void EndCandidacies() => undecided.EndCandidacies(OfSilence);

    /// <summary>
    /// Gives page records the time until their main channel has come, and recoveries the time until the host says that it is paused. A
    /// record that came before the host had noticed the loss may be of the new link, and waits for its main channel as any other.
    /// </summary>
    public void ExtendRecords()
    {
        var due = clock.After(options.IncompleteTimeout);
        foreach (var connection in undecided.Records)
        {
            if (RecordOpening.MayBe(connection.Opening) || RecoveryOpening.MayBe(connection.Opening))
            {
                undecided.Defer(connection, Math.Max(connection.Deadline, due));
            }
        }
    }

    /// <summary>
    /// Looks at a connection whose deadline is over. It gets another one if it may wait longer; else it is to be refused for the reason
    /// that is returned.
    /// </summary>
    public RefusalReason? Expire(UndecidedConnection connection, long now, out string? detail)
    {
        detail = connection.Upgrading is null ? null : $"it was not over within {options.HandshakeTimeout.TotalSeconds:0.###} s";
        if (connection.IsHeld && RecordOpening.IsLoneEnd(connection.Opening) && facts.AwaitsPreemptFrom(connection.PeerGroup))
        {
            undecided.Defer(connection, long.MaxValue); // the end of main, which makes it plausible, may come much later
            return null;
        }

        if (!connection.IsSilent)
        {
            return ReasonOfLate(connection);
        }

        if (undecided.SilentUntil(connection) is var until && until > now)
        {
            undecided.Defer(connection, until);
            return null;
        }

        if (facts.AwaitsPreemptFrom(connection.PeerGroup))
        {
            undecided.Defer(connection, long.MaxValue); // it may be the preempt channel, which may never have anything to send
            return null;
        }

        return RefusalReason.Silent;
    }

    private bool IsBesidePreempt(UndecidedConnection connection) => facts.HasPreempt && RecordOpening.MayBe(connection.Opening);

    private RefusalReason ReasonOfLate(UndecidedConnection connection) =>
        connection.Upgrading is not null ? RefusalReason.TlsHandshake
        : !connection.IsHeld ? RefusalReason.Incomplete
        : MainOpening.MayBe(connection.Opening) ? RefusalReason.SecondMain
        : RecoveryOpening.MayBe(connection.Opening) ? RefusalReason.Unexpected
        : IsBesidePreempt(connection) ? RefusalReason.LostCandidacy : RefusalReason.BadPreempt;
}
