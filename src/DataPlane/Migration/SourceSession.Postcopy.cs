using DataPlane.Memory;
using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Migration;

/// <summary>
/// A postcopy at its source: the guest goes before its memory (specification, 4-postcopy). Up to the first byte of the package every
/// failure gives the guest back; from then on no failure does, because the destination may run it.
/// </summary>
internal sealed partial class SourceSession
{
    /// <summary>
    /// How long the destination may take for its first answer, without which the guest is not handed over (4-postcopy 4.10).
    /// </summary>
    private static readonly TimeSpan s_answerTimeout = TimeSpan.FromSeconds(30);

    /// <summary>How often a message of the destination that has not come is mentioned in the log; nothing else follows from it.</summary>
    private static readonly TimeSpan s_remark = TimeSpan.FromSeconds(30);

    private PostcopyHandover? _postcopy;

    /// <summary>
    /// Whether the migration ends by postcopy, as it does when it was requested or when the guest stood still from the beginning.
    /// </summary>
    private bool DecideForPostcopy() => _postcopy is not null && (_tracker is null || !_switch.TryClose());

    private async Task ConnectPreemptAsync(PreemptTiming now, CancellationToken cancellationToken)
    {
        if (_postcopy is { } postcopy && _options.Preempt && postcopy.Timing == now)
        {
            postcopy.Preempt = await DialAsync(
                _destination!, ChannelId.Preempt, _options.MultifdChannels + 1, cancellationToken).ConfigureAwait(false);
        }
    }

    private async Task WaitForAnswerAsync()
    {
        try
        {
            await _postcopy!.Answered.WaitAsync(s_answerTimeout, _time, _failure.Token).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw Stalled(s_answerTimeout);
        }
    }

    /// <summary>
    /// Hands the guest over with its device state, and lets its memory follow. Returns when the destination has all of it.
    /// </summary>
    private async Task PostcopyAsync(
        GuestPageSet remaining, StallWatch? stall, PeerLiveness? liveness, CancellationToken cancellationToken)
    {
        var (postcopy, main, writer) = (_postcopy!, _main!, _writer!);
        await WaitForAnswerAsync().ConfigureAwait(false);
        await ConnectPreemptAsync(PreemptTiming.AtSwitch, _failure.Token).ConfigureAwait(false);
        var announced = await DiscardAheadAsync(remaining).ConfigureAwait(false);
        await StopGuestAsync(remaining).ConfigureAwait(false);
        if (_peer.TakesSwitchoverStart)
        {
            writer.WriteSwitchoverStart();
        }

        Enter(MigrationPhase.DeviceState);
        var devices = await SaveDeviceStateAsync().ConfigureAwait(false);
        postcopy.HostPages.Widen(remaining);
        WriteDiscards(remaining, announced);
        await writer.FlushAsync(_failure.Token).ConfigureAwait(false);
        postcopy.Prepare(main, remaining, _guest.PagesHoldingData, _postcopyLimit);
        GiveAway();
        // No time limit may cut a running guest off from its memory: only the network decides that the link is lost.
        stall?.Dispose();
        if (_options.RecoveryTimeout == TimeSpan.Zero)
        {
            liveness?.Dispose(); // an early notice is of use only if another link may follow; the kernel waits longer
        }

        var packageBytes = PostcopyCommands.WritePackage(main.Output, devices.Sections.Span, postcopy.Preempt is not null);
        Enter(MigrationPhase.Postcopy);
        var lost = await TryLinkAsync(async () =>
        {
            using (WatchUnconfirmed())
            {
                await writer.FlushAsync(CancellationToken.None).ConfigureAwait(false);
                postcopy.NotePackage(packageBytes);
                await FollowAsync(postcopy).ConfigureAwait(false);
            }
        }).ConfigureAwait(false);
        while (lost is not null)
        {
            if (_custody.On(SourceEvent.Failed) != SourceVerdict.Pause || _options.RecoveryTimeout == TimeSpan.Zero)
            {
                throw NotConfirmed(lost.Message, lost);
            }

            await RecoverAsync(lost, cancellationToken).ConfigureAwait(false);
            lost = await TryLinkAsync(() => FollowAsync(postcopy)).ConfigureAwait(false);
        }

        _downtime = postcopy.LoadedAt == 0 ? TimeSpan.Zero : _custody.StoodStillUntil(postcopy.LoadedAt);
    }

    /// <summary>
    /// Sends the DISCARDs for most of the pages ahead, while the guest still runs: what it has written so far is known already, and the
    /// time that the destination takes to give these pages up is not downtime then. After this, the guest stands still for no more than
    /// what is still in the sockets. The PINGs around them tell a destination of ours that the guest has not stopped. Returns the pages
    /// that were announced; null if the guest stands still anyway or there is nothing to announce.
    /// </summary>
    private async Task<GuestPageSet?> DiscardAheadAsync(GuestPageSet remaining)
    {
        if (!_guest.IsRunning || remaining.CountSet() == 0)
        {
            return null;
        }

        _postcopy!.HostPages.Widen(remaining);
        var announced = new GuestPageSet(remaining.Memory);
        announced.UnionWith(remaining);
        _writer!.WritePing(PostcopyDiscard.AheadPing);
        PostcopyCommands.WriteRanges(_main!.Output, announced);
        _writer.WritePing(MemoryPing);
        await _writer.FlushAsync(_failure.Token).ConfigureAwait(false);
        await WaitForMemoryAsync().ConfigureAwait(false);
        return announced;
    }

    private void WriteDiscards(GuestPageSet remaining, GuestPageSet? announced)
    {
        if (announced is null)
        {
            PostcopyCommands.WriteDiscards(_main!.Output, remaining, _postcopy!.HostPages);
            return;
        }

        var written = new GuestPageSet(remaining.Memory);
        written.UnionWith(remaining);
        written.ExceptWith(announced);
        PostcopyCommands.WriteRanges(_main!.Output, written);
    }

    /// <summary>Gives the guest away: from here on nobody starts it again here, whatever happens.</summary>
    private void GiveAway()
    {
        _failure.Token.ThrowIfCancellationRequested();
        if (_custody.On(SourceEvent.PackageBegins) != SourceVerdict.GoOn)
        {
            throw new OperationCanceledException();
        }
    }

    /// <summary>Uses a link. Returns the exception that ended it, or null if the destination has everything.</summary>
    private async Task<Exception?> TryLinkAsync(Func<Task> useAsync)
    {
        try
        {
            // The link must not be broken before the destination has confirmed that the guest runs there: its end might be the end of the
            // guest.
            _linkRequests.Use(BreakLink, () => _options.RecoveryTimeout > TimeSpan.Zero && _custody.Owner == GuestOwner.Destination);
            await useAsync().ConfigureAwait(false);
            return null;
        }
        catch (Exception failure) when (failure is not MigrationException)
        {
            return failure;
        }
        finally
        {
            _linkRequests.Use(breakLink: null);
        }
    }

    /// <summary>
    /// Aborts both channels at once, before anything is awaited: a thread may be inside a call on either, and cannot notice the abort of
    /// the other.
    /// </summary>
    private void BreakLink(ChannelException? cause)
    {
        _postcopy?.Preempt?.Abort(cause);
        _main?.Abort(cause);
    }

    private void BreakLink() => BreakLink(cause: null);

    /// <summary>
    /// Watches the link until the destination confirms that it runs the guest. Until then nobody runs it: if the destination neither takes
    /// nor sends anything for <see cref="MigrationSourceOptions.CommitTimeout"/>, the link is broken and the outcome is unknown. Afterwards
    /// no time limit applies.
    /// </summary>
    private StallWatch? WatchUnconfirmed() => StallWatch.Start(
        _time, _options.CommitTimeout, Progress, () =>
        {
            if (_custody.Owner != GuestOwner.Destination)
            {
                BreakLink(Stalled(_options.CommitTimeout));
            }
        });

    private async Task FollowAsync(PostcopyHandover postcopy)
    {
        var (shut, everythingSent) = (_returnPath!, postcopy.Follow());
        using (RemarkUnless(postcopy.Loaded, "confirmation that it has loaded the devices"))
        {
            var first = await Task.WhenAny(everythingSent, shut).ConfigureAwait(false);
            await first.ConfigureAwait(false);
        }

        if (everythingSent.IsCompletedSuccessfully)
        {
            Enter(MigrationPhase.Commit);
        }

        using (RemarkUnless(shut, "SHUT"))
        {
            var value = await shut.ConfigureAwait(false);
            var verdict = _custody.On(value == 0 ? SourceEvent.ShutWithSuccess : SourceEvent.ShutWithFailure);
            if (verdict != SourceVerdict.Completed)
            {
                var why = value == 0
                    ? "it said that it had everything before it had"
                    : $"it reported that it failed (SHUT {value}); its own log says why";
                throw NotConfirmed(why, cause: null);
            }
        }

        // The destination may answer before the thread that has sent the end of the stream has counted it.
        await ((Task)everythingSent.WaitAsync(s_closeTimeout, _time)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private ITimer RemarkUnless(Task done, string what) => _time.CreateTimer(
        _ =>
        {
            if (!done.IsCompleted)
            {
                MigrationLog.StillWaiting(_logger, what, s_remark);
            }
        },
        null, s_remark, s_remark);

    private MigrationException NotConfirmed(string why, Exception? cause)
    {
        var owner = _custody.Owner;
        var (reason, what) = owner == GuestOwner.Destination
            ? (FailureReason.GuestAtDestination,
                $"the guest runs at the destination, but not all of its memory is known to be there: {why}; it stays stopped here")
            : (FailureReason.OutcomeUnknown,
                $"the guest was handed over, but the destination did not confirm that it runs: {why}; "
                    + "it stays stopped here and may run there");
        return new MigrationException(reason, _clock.Phase, ChannelId.Main.ToString(), what, cause) { Owner = owner };
    }
}
