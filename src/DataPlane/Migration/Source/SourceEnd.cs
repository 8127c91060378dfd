using DataPlane.Linux;
using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane.Migration.Source;

/// <summary>
/// How a migration ends at its source: with all channels closed in order, or with everything torn down and the guest running on here unless
/// the destination may have it.
/// </summary>
internal sealed class SourceEnd(
    SourcePlan plan,
    SourceLinks links,
    PostcopySender? sender,
    IPageSender pages,
    SourceCustody custody,
    SourceFailure failure,
    PhaseClock clock)
{
    /// <summary>How long the destination may take to close its end of a channel.</summary>
    private static readonly TimeSpan s_closeTimeout = TimeSpan.FromSeconds(10);

    /// <summary>How long the destination may still take to give its reason on main after a page channel has broken.</summary>
    private static readonly TimeSpan s_reasonTimeout = TimeSpan.FromSeconds(2);

    /// <summary>How long a destination that may have everything may take to close its preempt channel.</summary>
    private static readonly TimeSpan s_preemptTimeout = TimeSpan.FromSeconds(5);

    /// <summary>Closes the channels as a source does after the destination's SHUT: main last.</summary>
    public async Task CloseAsync()
    {
        await pages.StopAsync().ConfigureAwait(false);
        var link = links.Current;
        if (link?.Preempt is { } preempt)
        {
            // Nothing comes back on preempt, and a destination that has received nothing on it may not have looked at it yet, so nothing is
            // waited for.
            await preempt.DisposeAsync().ConfigureAwait(false);
        }

        await Task.WhenAll(links.Multifd.Now.Select(static channel => channel.CloseAsync(s_closeTimeout, CancellationToken.None).AsTask()))
            .ConfigureAwait(false);
        if (link is not null)
        {
            await link.Main.CloseAsync(s_closeTimeout, CancellationToken.None).ConfigureAwait(false);
        }
    }

    /// <summary>Ends a migration that has failed. Returns what the caller of the migration is to be told.</summary>
    /// <param name="why">What has failed.</param>
    /// <param name="rounds">Tracks the guest; null if it has not come to that.</param>
    /// <param name="cancellationToken">Tells whether the host has cancelled the migration.</param>
    public async Task<Exception> FailAsync(Exception why, PrecopyRounds? rounds, CancellationToken cancellationToken)
    {
        var phase = clock.Phase;
        if (sender is { HasSentEverything: true })
        {
            links.SparePreempt();
        }

        why = await WithReasonAsync(why).ConfigureAwait(false);
        failure.Record(why);
        var owner = custody.Owner;
        // Where the guest may have gone, the first recorded cause may be a consequence of the teardown; the failure then is that SHUT is
        // missing.
        var cause = owner == GuestOwner.Source ? failure.Cause ?? why : why;
        var teardown = new Teardown();
        teardown.Run(links.Abort);
        await teardown.RunAsync(() => links.CloseSparedAsync(s_preemptTimeout)).ConfigureAwait(false);
        await teardown.RunAsync(pages.StopAsync).ConfigureAwait(false);
        teardown.Run(() => rounds?.StopTracking());
        if (teardown.Failure is { } incomplete)
        {
            MigrationLog.TeardownFailed(plan.Logger, incomplete.Message, incomplete);
        }

        var resuming = new Teardown();
        await resuming.RunAsync(custody.EndAsync).ConfigureAwait(false);
        if (resuming.Failure is null
            && owner == GuestOwner.Source && cause is OperationCanceledException && cancellationToken.IsCancellationRequested)
        {
            MigrationLog.Cancelled(plan.Logger, phase);
            return new OperationCanceledException("the migration was cancelled; the guest runs on here", cause, cancellationToken);
        }

        var error = MigrationException.From(cause, phase, owner);
        if (resuming.Failure is { } refusal)
        {
            error = StandsStill(error, cause, refusal);
        }

        MigrationMetrics.Failed(error.Reason);
        MigrationLog.Failed(plan.Logger, error.Reason, error.Message);
        return error;
    }

    /// <summary>
    /// Waits for the destination's reason after a channel has broken, and returns the better explanation. If the destination gave up, its
    /// reason comes on main, perhaps a moment later: an answer, or a TLS alert, that lies before the reset in the socket.
    /// </summary>
    private async Task<Exception> WithReasonAsync(Exception why)
    {
        if (why is not ChannelException broken || !IsPeerGone(broken) || links.Current is not { } link || custody.IsLeaving
            || failure.Cause is not null)
        {
            return why;
        }

        await ((Task)link.ReturnPath.WaitAsync(s_reasonTimeout, plan.Time)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return link.ReturnPath.IsCompleted || broken.Channel == link.Main.Name || broken.Errno == Errno.ECONNREFUSED
            ? why
            : new ChannelException(
                broken.Reason, broken.Channel,
                "the destination closed this channel and keeps main open: "
                + $"it may expect fewer multifd channels than {plan.Options.MultifdChannels}",
                broken);
    }

    private static bool IsPeerGone(ChannelException broken) =>
        broken.Reason is FailureReason.PeerClosed or FailureReason.PeerReset
        || broken.InnerException is TlsLostException
        || broken.Errno == Errno.ECONNREFUSED;

    /// <summary>
    /// Adds to the failure of a migration that its guest belongs here and could not be resumed. The first failure stays the reason: it is
    /// what ended the migration.
    /// </summary>
    private static MigrationException StandsStill(MigrationException error, Exception cause, Exception refusal) => new(
        error.Reason,
        error.Phase,
        error.Channel,
        $"{cause.Message}; the guest belongs here and stands still, because the host could not resume it: {refusal.Message}",
        new AggregateException(cause, refusal))
    {
        Owner = error.Owner,
    };
}
