using DataPlane.Memory;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>
/// The other way to end: the guest goes before its memory (specification, 4-postcopy). Up to the first byte of the package every failure gives the guest back;
/// from then on none does, because the destination may run it.
/// </summary>
internal sealed partial class SourceSession
{
    /// <summary>How long the destination may take for its first answer, without which nobody hands a guest over (section 4.10).</summary>
    private static readonly TimeSpan s_answerTimeout = TimeSpan.FromSeconds(30);

    /// <summary>After so long without a word something is to be said about it; nothing else is done.</summary>
    private static readonly TimeSpan s_remark = TimeSpan.FromSeconds(30);

    private PostcopyHandover? _postcopy;

    private bool SwitchesToPostcopy => _postcopy is not null && (_switch.IsRequested || !_guest.IsRunning);

    private async Task ConnectPreemptAsync(PreemptTiming now)
    {
        if (_postcopy is { } postcopy && _options.Preempt && postcopy.Timing == now)
        {
            postcopy.Preempt = await ChannelDialer.ConnectAsync(
                _destination!, _options.Channels, "preempt", _options.MultifdChannels + 1, _pool, _failure.Token).ConfigureAwait(false);
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

    /// <summary>Hands the guest over with its device state; its memory follows. Returns when the destination has all of it.</summary>
    private async Task PostcopyAsync(GuestPageSet remaining, StallWatch? stall)
    {
        var (postcopy, main, writer) = (_postcopy!, _main!, _writer!);
        await WaitForAnswerAsync().ConfigureAwait(false);
        await ConnectPreemptAsync(PreemptTiming.AtSwitch).ConfigureAwait(false);
        await StopGuestAsync(remaining).ConfigureAwait(false);
        if (_dialect.SendsSwitchoverStart)
        {
            writer.WriteSwitchoverStart();
        }

        Enter(MigrationPhase.DeviceState);
        var devices = await _guest.SaveDeviceStateAsync(_failure.Token).ConfigureAwait(false);
        postcopy.HostPages.Widen(remaining);
        PostcopyCommands.WriteDiscards(main.Output, remaining, postcopy.HostPages);
        await writer.FlushAsync(_failure.Token).ConfigureAwait(false);
        postcopy.Prepare(main, remaining, _guest.PagesHoldingData, _postcopyLimit);
        GiveAway();
        // No time limit may cut a running guest off from its memory: that the link is lost is for the network to say.
        stall?.Dispose();
        var packageBytes = PostcopyCommands.WritePackage(main.Output, devices.Sections.Span);
        try
        {
            await writer.FlushAsync(CancellationToken.None).ConfigureAwait(false);
            Enter(MigrationPhase.Postcopy);
            await FollowAsync(postcopy, packageBytes).ConfigureAwait(false);
        }
        catch (Exception failure) when (failure is not MigrationException)
        {
            postcopy.Ownership.On(OwnershipEvent.LinkLost);
            throw NotConfirmed(postcopy, failure.Message, failure);
        }

        _downtime = _paused && postcopy.LoadedAt != 0 ? _time.GetElapsedTime(_pausedAt, postcopy.LoadedAt) : TimeSpan.Zero;
    }

    /// <summary>From here on nobody starts the guest again here, whatever happens.</summary>
    private void GiveAway()
    {
        _failure.Token.ThrowIfCancellationRequested();
        if (Interlocked.CompareExchange(ref _ownership, Sent, Ours) != Ours)
        {
            throw new OperationCanceledException();
        }

        _postcopy!.Ownership.On(OwnershipEvent.PackageBegins);
    }

    private async Task FollowAsync(PostcopyHandover postcopy, long packageBytes)
    {
        var (word, everythingSent) = (_returnPath!, postcopy.Follow(packageBytes));
        using (RemarkUnless(postcopy.Loaded, "confirmation that it has loaded the devices"))
        {
            var first = await Task.WhenAny(everythingSent, word).ConfigureAwait(false);
            await first.ConfigureAwait(false);
        }

        if (everythingSent.IsCompletedSuccessfully)
        {
            postcopy.Ownership.On(OwnershipEvent.EverythingSent);
            Enter(MigrationPhase.Commit);
        }

        using (RemarkUnless(word, "last word"))
        {
            var value = await word.ConfigureAwait(false);
            var verdict = postcopy.Ownership.On(value == 0 ? OwnershipEvent.ShutWithSuccess : OwnershipEvent.ShutWithFailure);
            if (verdict != OwnershipVerdict.Completed)
            {
                throw NotConfirmed(postcopy, value == 0 ? "it said that it had everything before it had" : $"it reported that it failed (SHUT {value}); its own log says why", null);
            }
        }
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

    private MigrationException NotConfirmed(PostcopyHandover postcopy, string why, Exception? cause) => postcopy.Ownership.Owner == GuestOwner.Destination
        ? new MigrationException(
            FailureReason.GuestAtDestination, _clock.Phase, _main!.Name,
            $"the guest runs at the destination, but not all of its memory is known to be there: {why}; it stays stopped here", cause)
        : new MigrationException(
            FailureReason.OutcomeUnknown, _clock.Phase, _main!.Name,
            $"the guest was handed over, but the destination did not confirm that it runs: {why}; it stays stopped here and may run there", cause);
}
