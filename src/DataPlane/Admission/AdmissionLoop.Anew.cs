namespace DataPlane.Admission;

/// <content>Sets of channels that are given up, and false starts.</content>
internal sealed partial class AdmissionLoop
{
    private void BeginAnew()
    {
        if (!_facts.TryBeginAnew())
        {
            return;
        }

        TakeFalseStarts(); // those of the old set are counted before anything takes a free place
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
