using DataPlane.Admission;
using DataPlane.MainStream.Devices;
using DataPlane.Memory;
using DataPlane.Migration.Custody;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>
/// The end of a migration at its destination. <see cref="DestinationCustody"/> decides who has the guest at which moment.
/// </summary>
internal sealed partial class DestinationSession
{
    private static readonly TimeSpan s_shutTimeout = TimeSpan.FromSeconds(2);

    private ReceivedPages? _pages;

    private async Task CommitAsync(Channel main, DeviceState devices)
    {
        _multifd.CloseMemory(); // nothing may write to the memory while the host commits it
        if (_custody.On(DestinationEvent.CommitBegins) != DestinationVerdict.GoOn)
        {
            throw new OperationCanceledException();
        }

        Enter(MigrationPhase.Commit);
        await _guest.CommitAsync(devices, _pages!, CancellationToken.None).ConfigureAwait(false);
        if (_returnPathOpen)
        {
            try
            {
                await SendShutAsync(success: true, main, _options.CloseTimeout).ConfigureAwait(false);
            }
            catch (IOException failure) when (_custody.IsSnapshot)
            {
                MigrationLog.SourceNotTold(_logger, failure.Message); // the guest of a snapshot goes on at its source without SHUT 0, too
            }
            catch (IOException failure)
            {
                _custody.On(DestinationEvent.SourceGone);
                throw new ChannelException(
                    FailureReason.OutcomeUnknown,
                    ChannelId.Main,
                    "the guest has arrived, but the source was gone before it could be told: it may run on there; nothing is started here "
                    + $"({failure.Message})",
                    failure);
            }
        }

        _custody.On(DestinationEvent.SourceTold);
    }

    /// <summary>
    /// Sends SHUT on the present main channel, and aborts <paramref name="main"/> if that takes longer than <paramref name="limit"/>.
    /// </summary>
    private async Task SendShutAsync(bool success, Channel main, TimeSpan limit)
    {
        using var deadline = PeerDeadline.Start(main, limit, "it was to be sent SHUT", _time);
        if (_postcopy is { IsListening: true } postcopy)
        {
            postcopy.ReturnPath.SendShut(success);
        }
        else
        {
            await _returnPath!.SendShutAsync(success, CancellationToken.None).ConfigureAwait(false);
        }
    }

    private MigrationReport Complete() => Complete(_time.GetElapsedTime(_ramComplete), _clock.Elapsed);

    private MigrationReport Complete(TimeSpan downtime, TimeSpan duration)
    {
        Enter(MigrationPhase.Completed);
        var report = new MigrationReport
        {
            Uuid = KnownUuid,
            Duration = duration,
            Downtime = downtime,
            Rounds = 0,
            Owner = _custody.IsSnapshot ? GuestOwner.Source : GuestOwner.Destination,
            IsBackgroundSnapshot = _custody.IsSnapshot,
            TransferredBytes = ReceivedBytes,
            NormalPages = NormalPages,
            ZeroPages = ZeroPages,
            Postcopy = DescribePostcopy(),
            Phases = _clock.Finished(),
            Channels = [.. Admitted().OrderBy(static one => (one.Kind, one.Id)).Select(static one =>
                new ChannelReport(one.Kind, one.Id, one.Channel.Peer, one.Channel.BytesReceived))],
        };
        MigrationMetrics.Completed(report);
        MigrationLog.Completed(_logger, report.Duration, report.Downtime, report.Rounds, report.TransferredBytes);
        return report;
    }

    /// <summary>
    /// Starts the guest, or has the host keep a snapshot, without waiting for the source to close its channels: that time is no downtime.
    /// </summary>
    /// <returns><paramref name="report"/>, changed if the source has kept main open after SHUT 0.</returns>
    private async Task<MigrationReport> StartAsync(Channel main, MigrationReport report)
    {
        var closing = CloseAsync(main);
        try
        {
            if (_custody.IsSnapshot)
            {
                await ((ISnapshotGuest)_guest).KeepAsync(CancellationToken.None).ConfigureAwait(false);
            }
            else
            {
                await _custody.StartAsync().ConfigureAwait(false);
            }
        }
        catch (Exception failure) when (_custody.IsSnapshot)
        {
            throw new MigrationException(
                FailureReason.HostFailed, MigrationPhase.Completed, channel: null,
                $"the snapshot is complete, but its host could not keep it: {failure.Message}", failure)
            {
                Owner = GuestOwner.Source,
            };
        }
        catch (Exception failure)
        {
            throw NotStarted(failure);
        }
        finally
        {
            await closing.ConfigureAwait(false);
        }

        // A source that has migrated its guest closes its channels at once. A source that replicates it (COLO, QEMU 11.0 and later) sends
        // the very same stream, and the difference shows only now: it keeps its end of main open and waits for a partner.
        return _returnPathOpen && !_custody.IsSnapshot && await closing.ConfigureAwait(false)
            ? report with { SourceStaysConnected = true, Owner = GuestOwner.Unknown }
            : report;
    }

    private static MigrationException NotStarted(Exception failure) => new(
        FailureReason.HostFailed,
        MigrationPhase.Completed,
        channel: null,
        $"the guest has arrived and is gone from its source, but it does not start here: {failure.Message}",
        failure)
    {
        Owner = GuestOwner.Destination,
    };

    /// <summary>
    /// Reads every channel to its end and closes it. An unread byte would turn the close into a reset, which may destroy the SHUT just
    /// sent.
    /// </summary>
    /// <returns>Whether the source still held main open when <see cref="MigrationDestinationOptions.CloseTimeout"/> had passed.</returns>
    private async Task<bool> CloseAsync(Channel main)
    {
        var preempt = Admitted().Where(static one => one.Kind == ChannelKind.Preempt)
            .Select(one => one.Channel.CloseAsync(_options.CloseTimeout, CancellationToken.None).AsTask());
        var ending = OutlastsCloseAsync(main);
        await Task.WhenAll([_multifd.FinishAsync(_options.CloseTimeout, CancellationToken.None), ending, .. preempt]).ConfigureAwait(false);
        return await ending.ConfigureAwait(false);
    }

    private async Task<bool> OutlastsCloseAsync(Channel main)
    {
        using var limit = new CancellationTokenSource(_options.CloseTimeout, _time);
        var ended = await main.CloseAsync(_options.CloseTimeout + s_shutTimeout, limit.Token).ConfigureAwait(false);
        return !ended && limit.IsCancellationRequested;
    }

    /// <summary>
    /// Ends a failed migration: sends SHUT 1 where the source may hear it, closes every channel, and has the host abandon a guest that is
    /// not ours.
    /// </summary>
    private async Task<Exception> EndAsync(Exception failure, CancellationToken cancellationToken)
    {
        var phase = _clock.Phase;
        _failure.Record(failure);
        var (isTheirs, isOurs) = (_custody.IsTheirs, _custody.IsOurs);
        var cause = isTheirs ? _failure.Cause! : failure;
        _custody.On(DestinationEvent.Failed);
        var error = MigrationException.From(cause, phase, _custody.Owner);
        var cancelled = _custody.Owner == GuestOwner.Source
            && cause is OperationCanceledException && cancellationToken.IsCancellationRequested;
        var teardown = new Teardown();
        if (!cancelled && MayWaitForAnother(error.Reason))
        {
            await LeaveAsync(error.Message).ConfigureAwait(false);
        }

        if (!isOurs)
        {
            await teardown.RunAsync(() => ShutWithFailureAsync(error.Reason)).ConfigureAwait(false);
        }

        await teardown.RunAsync(() => _multifd.AbortAsync(cause)).ConfigureAwait(false);
        await teardown.RunAsync(EndPostcopyAsync).ConfigureAwait(false);
        await teardown.RunAsync(() => _custody.EndAsync(error)).ConfigureAwait(false);
        if (teardown.Failure is { } incomplete)
        {
            MigrationLog.TeardownFailed(_logger, incomplete.Message, incomplete);
        }

        if (cancelled)
        {
            MigrationLog.Cancelled(_logger, phase);
            return new OperationCanceledException("the migration was cancelled; the guest is at its source", cause, cancellationToken);
        }

        if (IsFalseStart)
        {
            return error; // admission has logged and reported it
        }

        MigrationMetrics.Failed(error.Reason);
        MigrationLog.Failed(_logger, error.Reason, error.Message);
        return error;
    }

    /// <summary>
    /// Whether the source may be sent SHUT 1. A source that still sends pages in postcopy may not, because it would not understand the
    /// message; the end of the link gives the guest back to it or pauses it.
    /// </summary>
    private bool MayTakeGuestBack(FailureReason reason) =>
        reason != FailureReason.OutcomeUnknown && _postcopy is not { IsListening: true, SourceHasEnded: false } && !WouldDeafen;

    /// <summary>
    /// Whether SHUT 1 could take the guest from its source. A QEMU up to 8.1 stops listening when it hears SHUT 1. If it has already
    /// switched to postcopy, with the switch still in its own socket buffers, no return of its guest reaches it after that. A QEMU that has
    /// not switched learns the same from the end of the link.
    /// </summary>
    private bool WouldDeafen =>
        _reader is { IsPostcopyAdvised: true } && _clock.Phase < MigrationPhase.DeviceState && !Announced.ListensAfterShut;

    /// <summary>Sends SHUT 1 where the source listens and the guest is still its own, and aborts main.</summary>
    private async Task ShutWithFailureAsync(FailureReason reason)
    {
        foreach (var admitted in Admitted().Where(static one => one.Kind == ChannelKind.Main))
        {
            if (_returnPathOpen && MayTakeGuestBack(reason))
            {
                try
                {
                    await SendShutAsync(success: false, admitted.Channel, s_shutTimeout).ConfigureAwait(false);
                    var ended = await admitted.Channel.CloseAsync(s_shutTimeout, CancellationToken.None).ConfigureAwait(false);
                    _hasGivenBack |= ended && _postcopy is { SourceHasEnded: true } postcopy && postcopy.Main == admitted.Channel;
                }
                catch (Exception lost) when (lost is IOException or OperationCanceledException)
                {
                    // The source sees the end of the channel instead.
                }
            }

            admitted.Channel.Abort();
        }
    }
}
