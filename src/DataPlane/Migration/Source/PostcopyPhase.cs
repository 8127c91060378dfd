using DataPlane.Migration.Custody;
using DataPlane.Postcopy;

namespace DataPlane.Migration.Source;

/// <summary>
/// The guest goes with its package, and its memory follows, over one link after the other. From the first byte of the package on no failure
/// gives the guest back, because the destination may run it.
/// </summary>
/// <param name="plan">Has the limits.</param>
/// <param name="sender">Sends the memory.</param>
/// <param name="recovery">Replaces a lost link.</param>
/// <param name="requests">Lets the host break the link.</param>
/// <param name="watch">Notices that nothing moves before the guest is confirmed to run.</param>
/// <param name="custody">Decides who has the guest.</param>
/// <param name="progress">Is told of each phase.</param>
/// <param name="clock">Tells the phase of a failure.</param>
internal sealed class PostcopyPhase(
    SourcePlan plan,
    PostcopySender sender,
    SourceRecovery recovery,
    LinkRequests requests,
    SourceWatch watch,
    SourceCustody custody,
    SourceProgress progress,
    PhaseClock clock)
{
    /// <summary>How often a message of the destination that has not come is mentioned in the log; nothing else follows from it.</summary>
    private static readonly TimeSpan s_remark = TimeSpan.FromSeconds(30);

    /// <summary>How long the thread that has sent the end of the stream may take to say so, after the destination's SHUT.</summary>
    private static readonly TimeSpan s_lastCount = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Sends the package, and then the memory until the destination has all of it. Returns how long the guest stood still.
    /// </summary>
    /// <param name="link">The link over which the package goes.</param>
    /// <param name="devices">The devices that go with the guest.</param>
    /// <param name="cancellationToken">Ends the wait for a new link, and an attempt at one.</param>
    public async Task<TimeSpan> RunAsync(MigrationLink link, DeviceState devices, CancellationToken cancellationToken)
    {
        // No time limit may cut a running guest off from its memory: only the network decides that the link is lost.
        watch.EndStallLimit();
        if (plan.Options.RecoveryTimeout == TimeSpan.Zero)
        {
            watch.EndLiveness(); // an early notice is of use only if another link may follow; the kernel waits longer
        }

        var packageBytes = PostcopyCommands.WritePackage(link.Main.Output, devices.Sections.Span, link.Preempt is not null);
        await progress.EnterAsync(MigrationPhase.Postcopy).ConfigureAwait(false);
        var lost = await TryAsync(link, () => SendPackageAsync(link, packageBytes)).ConfigureAwait(false);
        while (lost is not null)
        {
            if (custody.On(SourceEvent.Failed) != SourceVerdict.Pause || plan.Options.RecoveryTimeout == TimeSpan.Zero)
            {
                throw Unconfirmed(lost.Message, lost);
            }

            var next = await recovery.RecoverAsync(lost, cancellationToken).ConfigureAwait(false);
            lost = await TryAsync(next, () => FollowAsync(next)).ConfigureAwait(false);
        }

        return sender.LoadedAt == 0 ? TimeSpan.Zero : custody.StoodStillUntil(sender.LoadedAt);
    }

    /// <summary>Uses a link. Returns the exception that ended it, or null if the destination has everything.</summary>
    private async Task<Exception?> TryAsync(MigrationLink link, Func<Task> useAsync)
    {
        try
        {
            // The link must not be broken before the destination has confirmed that the guest runs there: its end might be the end of the
            // guest.
            requests.Use(
                () => link.Abort(), () => plan.Options.RecoveryTimeout > TimeSpan.Zero && custody.Owner == GuestOwner.Destination);
            await useAsync().ConfigureAwait(false);
            return null;
        }
        catch (Exception failure) when (failure is not MigrationException)
        {
            return failure;
        }
        finally
        {
            requests.Use(breakLink: null);
        }
    }

    /// <summary>
    /// Sends the package and what follows it. Until the destination confirms that it runs the guest, nobody runs it: if the destination
    /// neither takes nor sends anything for <see cref="MigrationSourceOptions.CommitTimeout"/>, the link is broken and the outcome is
    /// unknown. Afterwards no time limit applies.
    /// </summary>
    private async Task SendPackageAsync(MigrationLink link, int packageBytes)
    {
        using var watching = watch.Start(
            plan.Options.CommitTimeout,
            stalled =>
            {
                if (custody.Owner != GuestOwner.Destination)
                {
                    link.Abort(stalled);
                }
            });
        await link.Writer.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        sender.NotePackage(packageBytes);
        await FollowAsync(link).ConfigureAwait(false);
    }

    private async Task FollowAsync(MigrationLink link)
    {
        var (shut, everythingSent) = (link.ReturnPath, sender.Follow());
        using (RemarkUnless(sender.Loaded, "confirmation that it has loaded the devices"))
        {
            var first = await Task.WhenAny(everythingSent, shut).ConfigureAwait(false);
            await first.ConfigureAwait(false);
        }

        if (everythingSent.IsCompletedSuccessfully)
        {
            await progress.EnterAsync(MigrationPhase.Commit).ConfigureAwait(false);
        }

        using (RemarkUnless(shut, "SHUT"))
        {
            Conclude(await shut.ConfigureAwait(false));
        }

        // The destination may answer before the thread that has sent the end of the stream has counted it.
        await ((Task)everythingSent.WaitAsync(s_lastCount, plan.Time)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private void Conclude(uint shut)
    {
        if (custody.On(shut == 0 ? SourceEvent.ShutWithSuccess : SourceEvent.ShutWithFailure) != SourceVerdict.Completed)
        {
            var why = shut == 0
                ? "it said that it had everything before it had"
                : $"it reported that it failed (SHUT {shut}); its own log says why";
            throw Unconfirmed(why, cause: null);
        }
    }

    private ITimer RemarkUnless(Task done, string what) => plan.Time.CreateTimer(
        _ =>
        {
            if (!done.IsCompleted)
            {
                MigrationLog.StillWaiting(plan.Logger, what, s_remark);
            }
        },
        null, s_remark, s_remark);

    private MigrationException Unconfirmed(string why, Exception? cause) =>
        NotConfirmed.Because(why, custody.Owner, clock.Phase, cause);
}
