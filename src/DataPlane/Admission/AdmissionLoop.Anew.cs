namespace DataPlane.Admission;

/// <summary>Sets of channels that are given up.</summary>
internal sealed partial class AdmissionLoop
{
    private void BeginAnew()
    {
        if (!_facts.TryBeginAnew())
        {
            return;
        }

        TakeFalseStarts(); // what was told before has been counted before anybody takes the free places
        AdmissionLog.StartedAnew(_logger);
        _undecided.EndCandidacies(_clock.After(_options.UndecidedTimeout));
    }

    private void TakeFalseStarts()
    {
        while (_falseStarts.TryDequeue(out var start))
        {
            _counters.RefuseAdmitted(RefusalReason.FalseStart);
            if (_throttle.TryPass(RefusalReason.FalseStart, start.Peer))
            {
                AdmissionLog.FalseStart(_logger, start.Peer, start.Detail);
            }

            Report(RefusalReason.FalseStart, start.Peer, start.Detail);
        }
    }
}
