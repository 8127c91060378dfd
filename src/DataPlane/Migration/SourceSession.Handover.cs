using DataPlane.MainStream;
using DataPlane.MainStream.Devices;
using DataPlane.Memory;
using DataPlane.Migration.Custody;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <summary>How the stopped guest is handed over. <see cref="SourceCustody"/> decides who has it at which moment.</summary>
internal sealed partial class SourceSession
{
    private static readonly TimeSpan s_closeTimeout = TimeSpan.FromSeconds(10);

    private readonly SourceCustody _custody;
    private TimeSpan _downtime;

    private void Cancel() => CallOff(new OperationCanceledException("the migration was cancelled"));

    /// <summary>
    /// Ends the migration from outside of the thread that hands the guest over, unless the guest has begun to leave. The custody decides
    /// which of the two comes first, because nobody would start a guest again that leaves over channels which have been aborted.
    /// </summary>
    private void CallOff(Exception cause)
    {
        if (_custody.On(SourceEvent.CalledOff) == SourceVerdict.RunHere)
        {
            _failure.Record(cause);
        }
    }

    /// <summary>Stops the guest, and adds the pages that it wrote last to <paramref name="remaining"/>.</summary>
    private async Task StopGuestAsync(GuestPageSet remaining)
    {
        Enter(MigrationPhase.Switchover);
        using var work = _work.Begin();
        if (await _custody.StopAsync(_failure.Token).ConfigureAwait(false))
        {
            _tracker!.Collect(remaining);
            _tracker.Stop();
        }
    }

    /// <summary>Stops the guest, and sends its last pages and its device state, except for the last byte.</summary>
    private async Task SwitchOverAsync(GuestPageSet remaining)
    {
        await StopGuestAsync(remaining).ConfigureAwait(false);
        var writer = _writer!;
        using (WatchWhileStopped())
        {
            if (_peer.TakesSwitchoverStart)
            {
                writer.WriteSwitchoverStart();
            }

            await SendPagesAsync(remaining).ConfigureAwait(false);
            await EndMemoryAsync(writer).ConfigureAwait(false);
        }

        Enter(MigrationPhase.DeviceState);
        var devices = await SaveDeviceStateAsync().ConfigureAwait(false);
        using (WatchWhileStopped())
        {
            _tail = writer.WriteDeviceState(devices);
            await writer.FlushAsync(_failure.Token).ConfigureAwait(false);
        }

        await WaitForMemoryAsync().ConfigureAwait(false);
    }

    private async Task<DeviceState> SaveDeviceStateAsync()
    {
        using var work = _work.Begin();
        return await _guest.SaveDeviceStateAsync(_failure.Token).ConfigureAwait(false);
    }

    /// <summary>
    /// Watches the stream while the guest stands still. Whatever limit there is while it runs, the guest runs again when the destination
    /// takes nothing for <see cref="MigrationSourceOptions.CommitTimeout"/>.
    /// </summary>
    private StallWatch? WatchWhileStopped() =>
        StallWatch.Start(_time, _options.CommitTimeout, Progress, () => CallOff(Stalled(_options.CommitTimeout)));

    /// <summary>
    /// Ends the memory with an END section without pages. Between the last pages and this section stands a PING, whose PONG means that all
    /// pages have arrived.
    /// </summary>
    private async Task EndMemoryAsync(MainStreamWriter writer)
    {
        writer.WritePing(MemoryPing);
        writer.BeginPages(last: true);
        if (!_peer.SyncsAtFlushRecords)
        {
            await SyncAsync(writer).ConfigureAwait(false);
        }

        writer.EndSection();
    }

    private byte _tail;

    /// <summary>Sends the last byte and waits for the destination's SHUT.</summary>
    private async Task HandOverAsync()
    {
        _failure.Token.ThrowIfCancellationRequested();
        if (_custody.On(SourceEvent.LastByteBegins) != SourceVerdict.GoOn)
        {
            throw new OperationCanceledException();
        }

        Enter(MigrationPhase.Commit);
        _writer!.WriteRaw([_tail]);
        // If the kernel has not taken the byte when the time is over, it has never left, and the guest goes on here.
        using (PeerDeadline.Start(_main!, _options.CommitTimeout, "the last byte was to be sent", _time))
        {
            await _writer.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        }

        _custody.On(SourceEvent.LastByteSent);
        var shut = await WaitForShutAsync().ConfigureAwait(false);
        _downtime = _custody.StoodStillUntil(_time.GetTimestamp());
        if (_custody.On(shut == 0 ? SourceEvent.ShutWithSuccess : SourceEvent.ShutWithFailure) != SourceVerdict.Completed)
        {
            throw Refused(shut);
        }
    }

    private async Task<uint> WaitForShutAsync()
    {
        try
        {
            return await _returnPath!.WaitAsync(_options.CommitTimeout, _time).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            var why = failure is TimeoutException ? $"it sent none within {_options.CommitTimeout.TotalSeconds:0.###} s" : failure.Message;
            throw new ChannelException(
                FailureReason.OutcomeUnknown,
                _main!.Name,
                $"the whole stream was sent, but the destination's SHUT is missing: {why}; the guest stays stopped here and may run there",
                failure);
        }
    }

    /// <summary>
    /// Ends a failed migration: tears everything down, and lets the guest run on here unless the destination may have it.
    /// </summary>
    private async Task<Exception> EndAsync(Exception failure, CancellationToken cancellationToken)
    {
        var phase = _clock.Phase;
        failure = await WithReasonAsync(failure).ConfigureAwait(false);
        _failure.Record(failure);
        var cause = _failure.Cause!;
        var owner = _custody.Owner;
        if (owner != GuestOwner.Source)
        {
            // The first recorded cause may be a consequence of the teardown; here the failure is that SHUT is missing.
            cause = failure;
        }

        var teardown = new Teardown();
        teardown.Run(AbortChannels);
        await teardown.RunAsync(() => _multifdSender?.StopAsync() ?? Task.CompletedTask).ConfigureAwait(false);
        teardown.Run(() => _tracker?.Stop());
        if (teardown.Failure is { } incomplete)
        {
            MigrationLog.TeardownFailed(_logger, incomplete.Message, incomplete);
        }

        var resuming = new Teardown();
        await resuming.RunAsync(_custody.EndAsync).ConfigureAwait(false);
        if (resuming.Failure is null
            && owner == GuestOwner.Source && cause is OperationCanceledException && cancellationToken.IsCancellationRequested)
        {
            MigrationLog.Cancelled(_logger, phase);
            return new OperationCanceledException("the migration was cancelled; the guest runs on here", cause, cancellationToken);
        }

        var error = MigrationException.From(cause, phase, owner);
        if (resuming.Failure is { } refusal)
        {
            error = StandsStill(error, cause, refusal);
        }

        MigrationMetrics.Failed(error.Reason);
        MigrationLog.Failed(_logger, error.Reason, error.Message);
        return error;
    }

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
