using DataPlane.MainStream.Devices;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <content>Behind the package: a guest that runs at once, or one that is fetched.</content>
internal sealed partial class DestinationSession
{
    private const string StandsStill =
        "the guest stands still at its source, which has all of its memory: there cancel the migration, then let the guest go on";

    private bool _told;

    /// <summary>A guest that does not run here is being fetched: its source waits for us and does nothing by itself.</summary>
    private bool IsFetching => _told && _guest is not IPostcopyGuest && _postcopy is { SourceHasEnded: false };

    private MigrationException Describe(Exception cause, MigrationPhase phase) => IsFetching
        ? new MigrationException(
            (cause as ChannelException)?.Reason ?? FailureReason.HostFailed, phase, (cause as ChannelException)?.Channel, $"{cause.Message}; {StandsStill}", cause)
        : MigrationException.From(cause, phase);

    /// <summary>Loads the devices while their pages come. A link that is lost meanwhile ends it: the guest is its source's.</summary>
    private async Task LoadAsync(IPostcopyGuest live, DeviceState devices)
    {
        var loading = Task.Run(() => live.LoadAsync(devices, _failure.Token).AsTask());
        if (await Task.WhenAny(loading, _postcopy!.Completion).ConfigureAwait(false) != loading && !_postcopy.Completion.IsCompletedSuccessfully)
        {
            // Whoever loads may wait for a page that never comes; nobody will run on what it gets instead.
            _postcopy.Release();
            await loading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await _postcopy.Completion.ConfigureAwait(false);
        }

        await loading.ConfigureAwait(false);
    }

    private async Task<MigrationReport> RunLiveAsync(IPostcopyGuest live, Channel main, IReadOnlyList<uint> pings)
    {
        var postcopy = _postcopy!;
        if (Interlocked.CompareExchange(ref _commitState, Committing, Open) != Open)
        {
            throw new OperationCanceledException();
        }

        postcopy.Own();
        Tell(pings, "nothing was started here; it may run on at its source");
        Volatile.Write(ref _commitState, Committed);
        var failedStart = await StartLiveAsync(live).ConfigureAwait(false);
        var downtime = _time.GetElapsedTime(_ramComplete);
        _startDelay = _time.GetElapsedTime(_packageRead);
        Enter(MigrationPhase.Postcopy);
        await WaitForMemoryAsync(postcopy).ConfigureAwait(false);
        SayGoodbye();
        postcopy.Release();
        await CloseAsync(postcopy.Main ?? main).ConfigureAwait(false);
        await live.CompleteAsync(_pages!).ConfigureAwait(false);
        var report = Complete(downtime);
        return failedStart is null ? report : throw NotStarted(failedStart);
    }

    /// <summary>A guest that does not start is ours nevertheless: its memory goes on coming.</summary>
    private static async Task<Exception?> StartLiveAsync(IPostcopyGuest live)
    {
        try
        {
            await live.StartAsync(CancellationToken.None).ConfigureAwait(false);
            return null;
        }
        catch (Exception failure)
        {
            return failure;
        }
    }

    private static async Task WaitForMemoryAsync(PostcopyReceiver postcopy)
    {
        try
        {
            await postcopy.Completion.ConfigureAwait(false);
        }
        catch (OperationCanceledException closed)
        {
            throw new MigrationException(
                FailureReason.GuestAtDestination,
                MigrationPhase.Postcopy,
                channel: null,
                $"the destination was closed while {postcopy.Ledger.CountMissing()} pages of its guest were missing: it cannot go on where it needs them",
                closed);
        }
    }

    /// <summary>
    /// The source must hear that all is well, or it may run the guest a second time; but if it is gone, the guest is here all the same.
    /// </summary>
    private void SayGoodbye()
    {
        try
        {
            _postcopy!.ReturnPath.SendShut(success: true);
        }
        catch (ChannelException lost)
        {
            MigrationLog.SourceNotTold(_logger, lost.Message);
        }
    }

    private async Task<MigrationReport> CaptureAsync(Channel main, DeviceState devices, IReadOnlyList<uint> pings, StallWatch? stall)
    {
        var postcopy = _postcopy!;
        Enter(MigrationPhase.Postcopy);
        postcopy.Own();
        Tell(pings, "nothing was kept here");
        _told = true;
        postcopy.Pull();
        try
        {
            await postcopy.Completion.WaitAsync(_failure.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException closed) when (!_failure.Token.IsCancellationRequested)
        {
            throw new ChannelException(FailureReason.LocalFailure, "main", "the destination was closed while pages were missing", closed);
        }

        stall?.Dispose();
        postcopy.Release();
        await CommitAsync(devices).ConfigureAwait(false);
        var report = Complete();
        await StartAsync(postcopy.Main ?? main).ConfigureAwait(false);
        return report;
    }

    /// <summary>Answers the PINGs of the package: with that the source gives the guest up.</summary>
    private void Tell(IReadOnlyList<uint> pings, string where)
    {
        try
        {
            Volatile.Write(ref _bytesWhenTold, ReceivedBytes);
            foreach (var ping in pings)
            {
                _postcopy!.ReturnPath.SendPong(ping);
            }
        }
        catch (ChannelException lost)
        {
            throw new ChannelException(
                FailureReason.OutcomeUnknown, "main", $"the guest's devices have arrived, but the source was gone before it could be told: {where}", lost);
        }
    }
}
