using DataPlane.MainStream.Devices;
using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration;

/// <content>What follows the package: a guest that runs at once, or a guest that is fetched.</content>
internal sealed partial class DestinationSession
{
    /// <summary>
    /// Loads the devices while the pages that they need arrive. If the link is lost meanwhile, this fails and the guest stays its source's.
    /// </summary>
    private async Task LoadAsync(IPostcopyGuest live, DeviceState devices)
    {
        var loading = Task.Run(() => live.LoadAsync(devices, _failure.Token).AsTask());
        var first = await Task.WhenAny(loading, _postcopy!.Completion).ConfigureAwait(false);
        if (first != loading && !_postcopy.Completion.IsCompletedSuccessfully)
        {
            // The loading may wait for a page that never comes. The release ends that wait, and no guest ever runs on what was loaded.
            _postcopy.Release();
            await loading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await _postcopy.Completion.ConfigureAwait(false);
        }

        await loading.ConfigureAwait(false);
    }

    private async Task<MigrationReport> RunLiveAsync(IPostcopyGuest live, Channel main, IReadOnlyList<uint> pings)
    {
        var postcopy = _postcopy!;
        if (_custody.On(DestinationEvent.TellingBegins) != DestinationVerdict.GoOn)
        {
            throw new OperationCanceledException();
        }

        postcopy.OutliveLinks();
        if (!TryTell(main, pings))
        {
            _custody.On(DestinationEvent.SourceGone);
            throw new ChannelException(
                FailureReason.OutcomeUnknown,
                ChannelId.Main,
                "the guest's devices have arrived, but the source was gone before it could be told; nothing was started here");
        }

        _custody.On(DestinationEvent.SourceTold);
        var failedStart = await StartLiveAsync().ConfigureAwait(false);
        if (_pause is { } lost && _custody.Owner == GuestOwner.Unknown)
        {
            TellOfPause(lost); // the link was lost before the start: the host should stop the guest again
        }

        var downtime = _time.GetElapsedTime(_ramComplete);
        _startDelay = _time.GetElapsedTime(_packageRead);
        Enter(MigrationPhase.Postcopy);
        await WaitForMemoryAsync(postcopy).ConfigureAwait(false);
        main = postcopy.Main ?? main;
        var isTold = TrySendSuccess(main);
        postcopy.Release();
        var duration = await CompleteLiveAsync(live, main).ConfigureAwait(false);
        // A source of this library knows that it has given the guest away; a QEMU may run it again when the connection ends without SHUT 0.
        var report = Complete(downtime, duration) with
        {
            Owner = isTold || postcopy.Source.IsOurs ? GuestOwner.Destination : GuestOwner.Unknown,
        };
        return failedStart is null ? report : throw NotStarted(failedStart);
    }

    /// <summary>
    /// Has the host complete the guest while the source closes its channels, which is not waited for first: it may take up to
    /// <see cref="MigrationDestinationOptions.CloseTimeout"/>. Returns how long the migration took without the closing.
    /// </summary>
    private async Task<TimeSpan> CompleteLiveAsync(IPostcopyGuest live, Channel main)
    {
        var closing = CloseAsync(main);
        try
        {
            await live.CompleteAsync(_pages!).ConfigureAwait(false);
            var duration = _clock.Elapsed;
            Enter(MigrationPhase.Completed);
            return duration;
        }
        finally
        {
            await closing.ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Starts the guest and returns the exception of a failed start: such a guest is ours nevertheless, and its memory continues to arrive.
    /// </summary>
    private async Task<Exception?> StartLiveAsync()
    {
        try
        {
            await _custody.StartAsync().ConfigureAwait(false);
            return null;
        }
        catch (Exception failure)
        {
            return failure;
        }
    }

    private async Task WaitForMemoryAsync(PostcopyReceiver postcopy)
    {
        try
        {
            await postcopy.Completion.ConfigureAwait(false);
        }
        catch (OperationCanceledException closed)
        {
            NoteLostLink(postcopy);
            throw new MigrationException(
                FailureReason.GuestAtDestination,
                MigrationPhase.Postcopy,
                channel: null,
                $"the destination was closed while {postcopy.Ledger.CountMissing()} pages of its guest were missing, "
                + "and its source does not let it go on",
                closed)
            {
                Owner = _custody.Owner,
            };
        }
    }

    /// <summary>
    /// Sends SHUT 0, without which the source may run the guest a second time. Returns false if the source was gone; the guest is here all
    /// the same.
    /// </summary>
    private bool TrySendSuccess(Channel main)
    {
        using var deadline = PeerDeadline.Start(main, _options.CloseTimeout, "it was to be sent SHUT", _time);
        try
        {
            _postcopy!.ReturnPath.SendShut(success: true);
            return true;
        }
        catch (ChannelException lost)
        {
            MigrationLog.SourceNotTold(_logger, lost.Message);
            return false;
        }
    }

    private async Task<MigrationReport> CaptureAsync(Channel main, DeviceState devices, IReadOnlyList<uint> pings, StallWatch? stall)
    {
        var postcopy = _postcopy!;
        Enter(MigrationPhase.Postcopy);
        postcopy.OutliveLinks();
        if (postcopy.Source.IsOurs)
        {
            _custody.On(DestinationEvent.FetchPromised);
        }

        if (TryTell(main, pings))
        {
            // From now on a source from QEMU 10.0 on can neither cancel nor let its guest run: it gets the guest back when it has sent
            // everything, not before.
            stall?.Dispose();
            postcopy.Pull();
            await WaitForMemoryAsync(postcopy).ConfigureAwait(false);
        }
        else
        {
            // Sources up to QEMU 10.1 pause now and may come again at any later time, so no limit applies. Later ones run the guest and
            // never come.
            if (!postcopy.Source.TakesBack)
            {
                stall?.Dispose();
            }

            postcopy.Pull();
            await postcopy.Completion.WaitAsync(_failure.Token).ConfigureAwait(false);
        }

        _failure.Token.ThrowIfCancellationRequested();
        postcopy.Release();
        main = postcopy.Main ?? main;
        await CommitAsync(main, devices).ConfigureAwait(false);
        return await StartAsync(main, Complete()).ConfigureAwait(false);
    }

    /// <summary>Answers the PINGs of the package, whereupon the source gives the guest up. Returns false if the source is gone.</summary>
    private bool TryTell(Channel main, IReadOnlyList<uint> pings)
    {
        using var deadline = PeerDeadline.Start(main, _options.CloseTimeout, "it was to be told that its guest has been loaded", _time);
        try
        {
            var postcopy = _postcopy!;
            postcopy.Proof.Tell(postcopy.Source);
            foreach (var ping in pings)
            {
                postcopy.ReturnPath.SendPong(ping);
            }

            postcopy.Proof.Told(postcopy.Ledger.Open());
            return true;
        }
        catch (ChannelException)
        {
            return false;
        }
    }
}
