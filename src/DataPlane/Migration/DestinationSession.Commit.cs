using DataPlane.Admission;
using DataPlane.MainStream.Devices;
using DataPlane.Memory;
using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>
/// The end of a migration at its destination. Who has the guest at which moment is for <see cref="DestinationCustody"/> to say.
/// </summary>
internal sealed partial class DestinationSession
{
    private static readonly TimeSpan s_farewellTimeout = TimeSpan.FromSeconds(2);

    private ReceivedPages? _pages;

    private async Task CommitAsync(Channel main, DeviceState devices)
    {
        _multifd.CloseMemory(); // what the host commits is what it has: nobody writes to it any more
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
                MigrationLog.SourceNotTold(_logger, failure.Message); // its guest goes on there, whatever it hears
            }
            catch (IOException failure)
            {
                _custody.On(DestinationEvent.SourceGone);
                throw new ChannelException(
                    FailureReason.OutcomeUnknown,
                    "main",
                    "the guest has arrived, but the source was gone before it could be told: it may run on there; nothing is started here "
                    + $"({failure.Message})",
                    failure);
            }
        }

        _custody.On(DestinationEvent.SourceTold);
    }

    /// <summary>The last word, on whatever main channel there is now.</summary>
    private async Task SendShutAsync(bool success, Channel main, TimeSpan limit)
    {
        using var deadline = PeerDeadline.Start(main, limit, "it was to be told the last word", _time);
        if (_postcopy is { IsListening: true } postcopy)
        {
            postcopy.ReturnPath.SendShut(success);
        }
        else
        {
            await _returnPath!.SendShutAsync(success, CancellationToken.None).ConfigureAwait(false);
        }
    }

    private MigrationReport Complete() => Complete(_time.GetElapsedTime(_ramComplete));

    private MigrationReport Complete(TimeSpan downtime)
    {
        var duration = _clock.Elapsed;
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
    /// The guest starts at once, unless it goes on at its source: how long the source takes to close its channels is no downtime.
    /// </summary>
    /// <returns>What is to be reported: with what the source has done after its word.</returns>
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

        // A source that has migrated its guest closes at once. One that replicates it (COLO, QEMU 11.0 and later) sends the very same
        // stream and shows itself only now: it waits on its end of main for a partner.
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

    /// <summary>Reads every channel to its end, so that no unread byte turns our close into a reset that eats the word just sent.</summary>
    /// <returns>Whether the source still held main when the time was over.</returns>
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
        var ended = await main.CloseAsync(_options.CloseTimeout + s_farewellTimeout, limit.Token).ConfigureAwait(false);
        return !ended && limit.IsCancellationRequested;
    }

    /// <summary>Ends a failed migration: the source is told where it listens, everything is closed, the host lets go.</summary>
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
            await teardown.RunAsync(() => SendFarewellAsync(error.Reason)).ConfigureAwait(false);
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
            return error; // admission tells of it
        }

        MigrationMetrics.Failed(error.Reason);
        MigrationLog.Failed(_logger, error.Reason, error.Message);
        return error;
    }

    /// <summary>
    /// Whether the source may hear that it goes on with its guest. While pages are to come in postcopy it hears nothing: a link that just
    /// ends gives it the guest back or
    /// pauses it, a word in between would not be understood.
    /// </summary>
    private bool MayTakeGuestBack(FailureReason reason) =>
        reason != FailureReason.OutcomeUnknown && _postcopy is not { IsListening: true, SourceHasEnded: false } && !WouldDeafen;

    /// <summary>
    /// Whether the word could take the guest from its source: a QEMU up to 8.1 that has switched already, in its own socket buffers, stops
    /// listening when it hears SHUT 1, and then no return of its guest reaches it. The end of the link says the same to one that has not
    /// switched.
    /// </summary>
    private bool WouldDeafen =>
        _reader is { IsPostcopyAdvised: true } && _clock.Phase < MigrationPhase.DeviceState
        && !SourceTraits.DoListenAgain(PeerDialect.VersionOf(_configuration!.MachineName));

    /// <summary>SHUT 1, where the source listens and the guest is still its own; then main is closed.</summary>
    private async Task SendFarewellAsync(FailureReason reason)
    {
        foreach (var admitted in Admitted().Where(static one => one.Kind == ChannelKind.Main))
        {
            if (_returnPathOpen && MayTakeGuestBack(reason))
            {
                try
                {
                    await SendShutAsync(success: false, admitted.Channel, s_farewellTimeout).ConfigureAwait(false);
                    var ended = await admitted.Channel.CloseAsync(s_farewellTimeout, CancellationToken.None).ConfigureAwait(false);
                    _hasGivenBack |= ended && _postcopy is { SourceHasEnded: true } postcopy && postcopy.Main == admitted.Channel;
                }
                catch (Exception lost) when (lost is IOException or OperationCanceledException)
                {
                    // It will see the end of the channel instead.
                }
            }

            admitted.Channel.Abort();
        }
    }
}
