namespace DataPlane.Admission;

/// <content>Main and preempt channels that come again after the loss of a link.</content>
internal sealed partial class AdmissionLoop
{
    private void BeginRecovery()
    {
        if (!_facts.TryBeginRecovery())
        {
            return;
        }

        AdmissionLog.RecoveryExpected(_logger);
        _undecided.EndCandidacies(_clock.After(_options.UndecidedTimeout));
        // A page record that came before the host had noticed the loss may be of the new link, and waits for its main channel as any other.
        var due = _clock.After(_options.IncompleteTimeout);
        foreach (var connection in _undecided.Records)
        {
            if (AdmissionRules.IsRecord(connection.Opening))
            {
                _undecided.Defer(connection, Math.Max(connection.Deadline, due));
            }
        }
    }

    private void ConfirmMain()
    {
        if (Interlocked.Exchange(ref _confirmed, null) is not { } main || main.Epoch != _facts.Epoch)
        {
            return; // a channel of a set that was given up has no place in the next one
        }

        _facts.AddMain(main.PeerGroup, recovered: true);
        _undecided.Rearm(main.PeerGroup, _clock.After(_options.UndecidedTimeout));
        DecideRecords();
    }

    private void TellOfRecovery(UndecidedConnection connection)
    {
        try
        {
            _facts.Host.OnRecoveryHeld();
        }
        catch (Exception e)
        {
            AdmissionLog.ContextThrew(_logger, connection.Peer, e);
        }
    }
}
