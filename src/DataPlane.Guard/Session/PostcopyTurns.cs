using DataPlane.Guard.Order;
using DataPlane.Guard.Relay;
using DataPlane.Guard.ReturnPath;

namespace DataPlane.Guard.Session;

/// <summary>
/// The turns of a postcopy: it begins, is paused, and goes on. Whoever sees a state may connect at once, so everything that admission needs
/// for it is there before the state is entered. Only the session's loop uses it.
/// </summary>
internal sealed class PostcopyTurns(
    QemuTarget target,
    SessionState state,
    CurrentLink current,
    GuardAdmissionHost host,
    PageRequests requests,
    RelayEngine relays,
    PublicListener listener,
    MigrationOutcome outcome)
{
    /// <summary>Notes that QEMU runs the guest, or is about to, or that it has all it needs to go on after a pause.</summary>
    public void Begin()
    {
        host.IsPostcopy = true;
        state.Enter(GuardState.Postcopy);
        listener.Recheck();
    }

    /// <summary>
    /// Pauses the migration: the guest is at QEMU and waits for its pages, so its source may come again, and nobody else may.
    /// </summary>
    public async ValueTask PauseAsync()
    {
        if (await outcome.FailIfQemuIsGoneAsync().ConfigureAwait(false))
        {
            return;
        }

        // First: from here on a page that comes may be one that the source owes from the lost link, and admission may let the recovery in
        // before the session hears of it.
        host.MayAnswerLostLink = target.Preempt;
        host.IsPostcopy = false;
        requests.Clear();
        if (current.Link?.TakePreempt() is { } preempt)
        {
            relays.Abort(preempt);
        }

        listener.ExpectRecovery();
        host.IsPaused = true; // only when the places are free
        state.Enter(GuardState.Paused);
        listener.Recheck();
    }
}
