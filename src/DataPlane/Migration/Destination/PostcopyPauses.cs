using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration.Destination;

/// <summary>
/// What a lost link and its recovery mean to a destination: admission lets the source in again, the custody may become unproved, and the
/// host and the progress are told. Thread-safe.
/// </summary>
/// <param name="admission">Lets the source in again.</param>
/// <param name="host">Tells admission that the migration is paused.</param>
/// <param name="guest">Is told of a pause and its end if its guest may run before its memory is here.</param>
/// <param name="custody">Who has the guest.</param>
/// <param name="proof">Whether the source is proved to have heard that its guest is here.</param>
/// <param name="phases">Reports the progress.</param>
/// <param name="logger">Takes the log events.</param>
internal sealed class PostcopyPauses(
    ChannelAdmission admission,
    DestinationAdmissionHost host,
    IIncomingGuest guest,
    DestinationCustody custody,
    HandoverProof proof,
    PhaseReporter phases,
    ILogger logger) : ILinkEvents
{
    private volatile Exception? _cause;

    /// <summary>Why the link was lost; null while there is a link.</summary>
    public Exception? Cause => _cause;

    public void OnPaused(Exception cause, bool isLost)
    {
        // The order matters: a recovery that comes in between is held, and is judged again when everything is known.
        admission.ExpectRecovery();
        _cause = cause;
        NoteLostLink();
        host.IsPaused = isLost;
        admission.Recheck();
        phases.Report();
        OnRecoveryFailed(cause);
    }

    /// <summary>Tells the host of the pause. If the host fails then, the guest is here all the same, and its memory still comes.</summary>
    public void OnRecoveryFailed(Exception cause)
    {
        try
        {
            (guest as IPostcopyGuest)?.OnPaused(new PostcopyPause(
                MigrationException.From(cause, phases.Phase, custody.Owner), proof.IsMissing));
        }
        catch (Exception failure)
        {
            PostcopyLog.ListenerFailed(logger, failure);
        }
    }

    public void OnResumed()
    {
        custody.On(DestinationEvent.SourceCameAgain);
        _cause = null;
        phases.Report();
        (guest as IPostcopyGuest)?.OnResumed(); // last, because what the host throws must not leave the rest undone
    }

    /// <summary>Tells the custody that the link is lost, unless the source is proved to have heard that its guest is here.</summary>
    public void NoteLostLink()
    {
        if (proof.IsMissing)
        {
            custody.On(DestinationEvent.LostBeforeProof);
        }
    }

    /// <summary>
    /// Tells the host of a pause that began before it had started the guest, if the source may run the guest again: the host should stop
    /// the guest.
    /// </summary>
    public void TellStartedHost()
    {
        if (_cause is { } lost && custody.Owner == GuestOwner.Unknown)
        {
            OnRecoveryFailed(lost);
        }
    }
}
