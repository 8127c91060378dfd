using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Admission;

/// <content>Decisions on single connections: read, judge, hold, admit, refuse.</content>
internal sealed partial class AdmissionLoop
{
    /// <summary>
    /// How long a page record may stay beside an admitted preempt channel whose link the host may have lost unnoticed. A source comes again
    /// when its old link has ended, and the host hears of that end at about the same time (the guard within 1 s, unless its machine has too
    /// few cores). A stranger at the source's address holds a place for this time.
    /// </summary>
    private static readonly TimeSpan s_besidePreempt = TimeSpan.FromSeconds(3);

    private void Add(AcceptedSocket accepted)
    {
        var connection = new UndecidedConnection(_nextKey++, accepted, _clock.Now);
        _undecided.Add(connection, _clock.After(_options.UndecidedTimeout));
        _counters.Arrived(_undecided.Count);
        if (!IsAllowed(connection))
        {
            Refuse(connection, RefusalReason.NotAllowed);
            return;
        }

        Begin(connection);
    }

    /// <summary>Reads and judges a connection that is new in the set, and has it polled if it stays undecided.</summary>
    private void Begin(UndecidedConnection connection)
    {
        // Most honest peers have sent something before they are accepted. They are decided here, need no room, and are never polled.
        Read(connection);
        if (!_undecided.Contains(connection))
        {
            return;
        }

        if (!connection.IsHeld)
        {
            connection.IsPolled = _epoll.TryAdd(connection.Socket, connection.Key);
            if (!connection.IsPolled)
            {
                Refuse(connection, RefusalReason.Evicted);
                return;
            }
        }

        // More than one may have to go: the share of descriptors shrinks when another admission is opened in this process.
        for (var looks = 0;
            _undecided.Count > 0 && _undecided.VictimFor(connection.PeerGroup, _options, MaxUndecided, _facts) is { } victim; looks++)
        {
            Evict(victim, isLookedAt: victim == connection || looks >= MostLooks);
            if (!_undecided.Contains(connection))
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
            Read(victim);
            if (!_undecided.Contains(victim) || victim.IsHeld || victim.IsSilent != wasSilent)
            {
                return;
            }
        }

        Refuse(victim, RefusalReason.Evicted,
            $"no room: {_undecided.CountOf(victim.PeerGroup)} of its address were undecided where {_options.MaxUndecidedPerPeer} may be, "
            + $"{_undecided.Count} in all where {MaxUndecided} may be; it had come "
            + $"{_time.GetElapsedTime(victim.Accepted).TotalSeconds:0.###} s before");
    }

    /// <summary>
    /// How many connections may be undecided: as configured, or fewer where descriptors are short, but never fewer than one migration has
    /// channels, which may all be undecided at once.
    /// </summary>
    private int MaxUndecided => (int)Math.Min(_options.MaxUndecided,
        Math.Max(_options.MultifdChannels + 2, _descriptors.ForStrangers / _options.DescriptorsPerUndecided));

    private bool IsAllowed(UndecidedConnection connection) =>
        _options.Allow.Count == 0 || connection.PeerGroup.Address is not { } address
            || _options.Allow.Any(network => network.Contains(address));

    private void Read(UndecidedConnection connection)
    {
        ReadOutcome outcome;
        do
        {
            var wasSilent = connection.IsSilent;
            outcome = connection.Read();
            if (outcome == ReadOutcome.Gone)
            {
                Refuse(connection, RefusalReason.Closed, connection.TlsEnding);
            }

            if (outcome is ReadOutcome.Gone or ReadOutcome.Nothing)
            {
                return;
            }

            if (wasSilent)
            {
                _undecided.BeginToSpeak(connection, _clock.After(_options.IncompleteTimeout));
            }

            Decide(connection);
            connection.Show();
        }
        while (outcome == ReadOutcome.Full && !connection.IsHeld && _undecided.Contains(connection));
    }

    private void Decide(UndecidedConnection connection)
    {
        BeginAnew();
        BeginRecovery();
        var verdict = Judge(connection);
        if (verdict.Refused is { } reason)
        {
            Refuse(connection, reason);
        }
        else if (verdict.Admitted == ChannelKind.Tls && _options.Upgrade is { } upgrade)
        {
            BeginUpgrade(connection, upgrade);
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

            if (IsBesidePreempt(connection))
            {
                // Whether the record is whole or not, and however often it is judged, the time only becomes shorter.
                _undecided.Defer(connection, Math.Min(connection.Deadline, _clock.After(s_besidePreempt)));
            }
        }
    }

    private bool IsBesidePreempt(UndecidedConnection connection) => _facts.HasPreempt && AdmissionRules.IsRecord(connection.Opening);

    private AdmissionVerdict Judge(UndecidedConnection connection)
    {
        try
        {
            return AdmissionRules.Judge(connection.Opening, connection.PeerGroup, _facts, connection.IsInside);
        }
        catch (Exception e)
        {
            // An error of the host must not end admission for all connections.
            AdmissionLog.ContextThrew(_logger, connection.Peer, e);
            return AdmissionVerdict.Held;
        }
    }

    /// <summary>
    /// Keeps a connection without reading more from it. What follows stays in the socket, and an end of the stream after a proof does not
    /// take the proof back.
    /// </summary>
    private void Hold(UndecidedConnection connection)
    {
        connection.IsHeld = true;
        var isRecovery = AdmissionRules.IsRecovery(connection.Opening);
        // A recovery is held twice as long: the host may need that time to find out that its link is dead. A main channel waits until the
        // one before it is settled or given up, for which the host has a deadline.
        _undecided.Defer(connection, AdmissionRules.IsMain(connection.Opening) ? long.MaxValue
            : IsBesidePreempt(connection) ? connection.Deadline
            : _clock.After(isRecovery ? 2 * _options.UndecidedTimeout : _options.IncompleteTimeout));
        Unpoll(connection);
        if (isRecovery)
        {
            TellOfRecovery(connection);
        }
    }

    private void Admit(UndecidedConnection connection, ChannelKind kind, AdmissionVerdict verdict)
    {
        Unpoll(connection);
        var id = Establish(connection, kind, verdict);
        var admitted = new AdmittedChannel(connection.Socket, connection.Session, _pool, _time)
        {
            Kind = kind,
            Id = id,
            Recovered = verdict.IsRecovered,
            Epoch = _facts.Epoch,
            Peer = connection.Peer,
            PeerGroup = connection.PeerGroup,
            Consumed = connection.Consumed,
            Decision = _time.GetElapsedTime(_turn),
        };
        var left = _undecided.Count - 1;
        _counters.Admit(kind, admitted.Decision, left);
        AdmissionLog.Admitted(_logger, admitted.Name, connection.Peer, admitted.Decision, left);
        if (kind != ChannelKind.Tls && _evictions.Take(connection.PeerGroup) is { Count: > 0 } evicted && _clock.Now >= _evictionsToldUntil)
        {
            _evictionsToldUntil = _clock.After(RefusalThrottle.Window);
            AdmissionLog.EvictedBefore(_logger, evicted.Count, connection.PeerGroup.ToString(), evicted.Last, admitted.Name);
        }

        Deliver(admitted);

        // This comes last: a host that looks at the undecided connections and then at the admitted channels must find it in one of them.
        _undecided.Remove(connection);
        _undecided.Rearm(connection.PeerGroup, _clock.After(_options.UndecidedTimeout));
        if (kind == ChannelKind.Preempt)
        {
            _undecided.EndCandidacies(_clock.After(_options.UndecidedTimeout));
        }

        // One of several has changed no fact. To judge all others for each of them would cost a call inside the other, and the square of
        // their number.
        if (kind is ChannelKind.Main or ChannelKind.Preempt && !verdict.IsOneOfSeveral)
        {
            DecideRecords();
        }
    }

    /// <summary>Records the new channel in the facts, and returns the id of a multifd channel or 0.</summary>
    private int Establish(UndecidedConnection connection, ChannelKind kind, AdmissionVerdict verdict)
    {
        switch (kind)
        {
            case ChannelKind.Main when verdict.IsOneOfSeveral:
                return 0; // it becomes main by ConfirmMain
            case ChannelKind.Main:
                _facts.AddMain(connection.PeerGroup, verdict.IsRecovered);
                return 0;
            case ChannelKind.Preempt:
                _facts.AddPreempt(connection.PeerGroup);
                return 0;
            case ChannelKind.Multifd:
                if (!MultifdInit.TryRead(connection.Opening, out var init, out var error))
                {
                    throw new InvalidOperationException($"The rules let an init packet through that cannot be read: {error}.");
                }

                _facts.AddMultifd(init.Id, init.Uuid, connection.PeerGroup);
                return init.Id;
            default:
                return 0; // a TLS session does not show which channel it is
        }
    }

    /// <summary>
    /// Judges the connections again that began with a page record, a recovery command or the magic of main, because the facts or the host's
    /// answers have changed.
    /// </summary>
    private void DecideRecords()
    {
        if (!_undecided.HasRecords)
        {
            return;
        }

        foreach (var connection in _undecided.Records)
        {
            if (_undecided.Contains(connection))
            {
                Decide(connection);
            }
        }
    }

    private void OnWake()
    {
        _wake.Reset();
        BeginAnew();
        BeginRecovery();
        TakeFalseStarts();
        ConfirmMain();
        TakeUpgrades();
        if (Interlocked.Exchange(ref _recheck, 0) != 0)
        {
            DecideRecords();
        }
    }

    private void Expire(UndecidedConnection connection, long now)
    {
        if (connection.IsHeld && AdmissionRules.IsLoneEnd(connection.Opening) && _facts.AwaitsPreemptFrom(connection.PeerGroup))
        {
            _undecided.Defer(connection, long.MaxValue); // the end of main, which makes it plausible, may come much later
        }
        else if (!connection.IsSilent)
        {
            RefuseAsLate(connection);
        }
        else if (_undecided.SilentUntil(connection) is var until && until > now)
        {
            _undecided.Defer(connection, until);
        }
        else if (_facts.AwaitsPreemptFrom(connection.PeerGroup))
        {
            _undecided.Defer(connection, long.MaxValue);
        }
        else
        {
            Refuse(connection, RefusalReason.Silent);
        }
    }

    private void RefuseAsLate(UndecidedConnection connection)
    {
        if (connection.Upgrading is not null)
        {
            Refuse(connection, RefusalReason.TlsHandshake, $"it was not over within {_options.HandshakeTimeout.TotalSeconds:0.###} s");
        }
        else
        {
            Refuse(connection, !connection.IsHeld ? RefusalReason.Incomplete
                : AdmissionRules.IsMain(connection.Opening) ? RefusalReason.SecondMain
                : AdmissionRules.IsRecovery(connection.Opening) ? RefusalReason.Unexpected
                : IsBesidePreempt(connection) ? RefusalReason.LostCandidacy : RefusalReason.BadPreempt);
        }
    }

    private void Refuse(UndecidedConnection connection, RefusalReason reason, string? detail = null)
    {
        if (reason == RefusalReason.Evicted)
        {
            _evictions.Note(connection.PeerGroup, connection.Peer);
        }

        _undecided.Remove(connection);
        _inHandshake.Remove(connection);
        // A handshake notices that only when its own thread runs. The socket is closed at once: descriptors that are no longer counted
        // would pile up as fast as strangers connect.
        connection.Upgrading?.Cancel();
        connection.Close(); // which also takes it out of the poll set
        _counters.Refuse(reason, _undecided.Count);
        // Refusals at the migration's addresses are throttled apart, so that a crowd of strangers cannot keep them out of the log.
        if ((_facts.IsOfMigration(connection.PeerGroup) ? _throttleOfMigration : _throttle).TryPass(reason, connection.Peer))
        {
            AdmissionLog.Refused(_logger, connection.Peer, connection.Opening.Length, reason, detail is null ? "" : $" ({detail})");
        }

        Report(reason, connection.Peer, detail);
    }

    private void Unpoll(UndecidedConnection connection)
    {
        if (connection.IsPolled)
        {
            _epoll.Remove(connection.Socket);
        }

        connection.IsPolled = false;
    }
}
