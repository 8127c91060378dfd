using Microsoft.Extensions.Logging;

namespace DataPlane.Admission;

/// <summary>
/// Carries out what the host has asked for: changes the facts, and the deadlines that follow from them. Used by the admission thread only.
/// </summary>
internal sealed class RequestedChanges(
    AdmissionRequests requests, AdmissionFacts facts, UndecidedDeadlines deadlines, Refusals refusals, ILogger logger)
{
    private int _recoveries; // how many of the recoveries that were asked for have begun

    /// <summary>Whether a new set or a recovery was asked for that has not begun.</summary>
    public bool ArePending => requests.Epoch != facts.Epoch || requests.Recoveries != _recoveries;

    /// <summary>
    /// Begins the new set or the recovery that was asked for. It is called before each decision, so that bytes which come after the host's
    /// call are judged by the new facts.
    /// </summary>
    public void FreePlaces()
    {
        if (requests.Epoch is var epoch && epoch != facts.Epoch)
        {
            facts.BeginAnew(epoch);
            CountFalseStarts(); // those of the old set are counted before anything takes a free place
            AdmissionLog.StartedAnew(logger);
            deadlines.EndCandidacies();
        }

        if (requests.Recoveries is var recoveries && recoveries != _recoveries)
        {
            _recoveries = recoveries;
            facts.BeginRecovery();
            AdmissionLog.RecoveryExpected(logger);
            deadlines.EndCandidacies();
            deadlines.ExtendRecords();
        }
    }

    public void CountFalseStarts()
    {
        while (requests.TryTakeFalseStart(out var start))
        {
            refusals.NoteFalseStart(start);
        }
    }

    /// <summary>Gives main's place to the recovered main channel that the host has chosen; returns whether there was one.</summary>
    public bool TryConfirmMain()
    {
        if (requests.TakeConfirmed() is not { } main || main.Epoch != facts.Epoch)
        {
            return false; // a channel of a set that was given up has no place in the next one
        }

        facts.AddMain(main.PeerGroup, recovered: true);
        deadlines.Rearm(main.PeerGroup);
        return true;
    }
}
