using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration.Destination;

/// <summary>
/// A postcopy whose guest runs here before its memory is complete (specification, 4-postcopy section 4.8).
/// <code>
///   devices loaded -> the source is told (PONG) -> guest started -> memory complete -> SHUT 0
/// </code>
/// The guest is ours from the moment at which the source is told. From then on a lost link is a pause, and no failure gives the guest up.
/// </summary>
/// <param name="guest">The host's part of the migration.</param>
/// <param name="custody">Decides who has the guest at which moment.</param>
/// <param name="notice">Tells the source.</param>
/// <param name="pauses">Tells the host of a link that was lost before the start.</param>
/// <param name="memory">Waits for the memory.</param>
/// <param name="closing">Closes the channels.</param>
/// <param name="reports">Describes the completed migration.</param>
/// <param name="phases">The phases of the migration.</param>
/// <param name="downtime">How long the guest has stood still.</param>
/// <param name="time">The clock.</param>
internal sealed class LivePostcopy(
    IPostcopyGuest guest,
    DestinationCustody custody,
    SourceNotice notice,
    PostcopyPauses pauses,
    PostcopyMemoryWait memory,
    ChannelClosing closing,
    DestinationReports reports,
    PhaseReporter phases,
    DowntimeClock downtime,
    TimeProvider time) : IPostcopyStage
{
    /// <inheritdoc/>
    public async Task<MigrationReport> RunAsync(
        PostcopyReceiver receiver,
        Channel main,
        ArrivedStream arrived,
        PostcopySwitchover switchover,
        StallWatch? stall,
        CancellationToken cancellationToken)
    {
        await LoadAsync(receiver, arrived.Devices, cancellationToken).ConfigureAwait(false);
        stall?.Dispose();
        TellSource(receiver, main, switchover.Pings);
        var failedStart = await StartAsync().ConfigureAwait(false);
        pauses.TellStartedHost();
        var stoodStill = downtime.Elapsed;
        var startDelay = time.GetElapsedTime(switchover.Arrival);
        phases.Enter(MigrationPhase.Postcopy);
        await memory.RunAsync(receiver).ConfigureAwait(false);
        main = receiver.Main ?? main;
        var isTold = notice.TrySendSuccess(receiver, main);
        receiver.Release();
        var duration = await CompleteAsync(main, arrived).ConfigureAwait(false);
        // A source of this library knows that it has given the guest away; a QEMU may run it again when the connection ends without SHUT 0.
        var report = reports.Complete(arrived, stoodStill, duration, startDelay) with
        {
            Owner = isTold || receiver.Source.IsOurs ? GuestOwner.Destination : GuestOwner.Unknown,
        };
        return failedStart is null ? report : throw DestinationReports.NotStarted(failedStart);
    }

    /// <summary>
    /// Loads the devices while the pages that they need arrive. If the link is lost meanwhile, this fails and the guest stays its source's.
    /// </summary>
    private async Task LoadAsync(PostcopyReceiver receiver, DeviceState devices, CancellationToken cancellationToken)
    {
        var loading = Task.Run(() => guest.LoadAsync(devices, cancellationToken).AsTask(), CancellationToken.None);
        var first = await Task.WhenAny(loading, receiver.Completion).ConfigureAwait(false);
        if (first != loading && !receiver.Completion.IsCompletedSuccessfully)
        {
            // The loading may wait for a page that never comes. The release ends that wait, and no guest ever runs on what was loaded.
            receiver.Release();
            await loading.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await receiver.Completion.ConfigureAwait(false);
        }

        await loading.ConfigureAwait(false);
    }

    private void TellSource(PostcopyReceiver receiver, Channel main, IReadOnlyList<uint> pings)
    {
        if (custody.On(DestinationEvent.TellingBegins) != DestinationVerdict.GoOn)
        {
            throw new OperationCanceledException();
        }

        receiver.OutliveLinks();
        if (!notice.TryTellLoaded(receiver, main, pings))
        {
            custody.On(DestinationEvent.SourceGone);
            throw new ChannelException(
                FailureReason.OutcomeUnknown,
                ChannelId.Main,
                "the guest's devices have arrived, but the source was gone before it could be told; nothing was started here");
        }

        custody.On(DestinationEvent.SourceTold);
    }

    /// <summary>
    /// Starts the guest and returns the exception of a failed start: such a guest is ours nevertheless, and its memory continues to arrive.
    /// </summary>
    private async Task<Exception?> StartAsync()
    {
        try
        {
            await custody.StartAsync().ConfigureAwait(false);
            return null;
        }
        catch (Exception failure)
        {
            return failure;
        }
    }

    /// <summary>
    /// Has the host complete the guest while the source closes its channels, which is not waited for first: it may take up to
    /// <see cref="MigrationDestinationOptions.CloseTimeout"/>. Returns how long the migration took without the closing.
    /// </summary>
    private async Task<TimeSpan> CompleteAsync(Channel main, ArrivedStream arrived)
    {
        var ending = closing.RunAsync(main);
        try
        {
            await guest.CompleteAsync(arrived.Pages).ConfigureAwait(false);
            var duration = phases.Elapsed;
            phases.Enter(MigrationPhase.Completed);
            return duration;
        }
        finally
        {
            await ending.ConfigureAwait(false);
        }
    }
}
