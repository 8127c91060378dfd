using DataPlane.Migration.Custody;
using DataPlane.Multifd;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration.Destination;

/// <summary>
/// The end of a migration that has failed. The first cause stops everything at once; then the source is told where it may hear it, the
/// channels are closed, and the host abandons a guest that is not ours.
/// </summary>
/// <param name="cause">The first cause of the failure.</param>
/// <param name="custody">Decides whether the guest is abandoned.</param>
/// <param name="setup">Knows whether the failure is no more than a false start.</param>
/// <param name="arrival">Gives the places up after a false start.</param>
/// <param name="channels">The channels.</param>
/// <param name="multifd">The multifd channels.</param>
/// <param name="stream">Knows whether the source hears SHUT.</param>
/// <param name="postcopy">The receiver after the switch.</param>
/// <param name="identity">What the source has said of itself.</param>
/// <param name="notice">Tells the source.</param>
/// <param name="phases">The phases of the migration.</param>
/// <param name="logger">Takes the log events.</param>
internal sealed class DestinationFailure(
    FirstCause cause,
    DestinationCustody custody,
    DestinationSetup setup,
    ChannelArrival arrival,
    DestinationChannels channels,
    MultifdReceiver multifd,
    IncomingMainStream stream,
    IncomingPostcopy postcopy,
    SourceIdentity identity,
    SourceNotice notice,
    PhaseReporter phases,
    ILogger logger)
{
    /// <summary>Whether the source had ended its stream, heard SHUT 1, and closed.</summary>
    public bool HasGivenBack { get; private set; }

    /// <summary>
    /// Stops everything that waits for a peer, except main, which is aborted after the source has been told. A link that may outlive
    /// failures stays, because the guest is nowhere else, or is being fetched. Thread-safe.
    /// </summary>
    public void Stop()
    {
        if (postcopy.OutlivesLinks)
        {
            return;
        }

        var why = cause.Cause ?? new OperationCanceledException();
        postcopy.Receiver?.Break(why);
        foreach (var admitted in channels.All())
        {
            if (admitted.Kind != ChannelKind.Main)
            {
                admitted.Channel.Abort();
            }
        }

        multifd.Barrier.Fail(why);
    }

    /// <summary>Ends the migration because of <paramref name="failure"/>, and returns what the caller is told.</summary>
    public async Task<Exception> EndAsync(Exception failure, CancellationToken cancellationToken)
    {
        var phase = phases.Phase;
        cause.Record(failure);
        var (isTheirs, isOurs) = (custody.IsTheirs, custody.IsOurs);
        var first = isTheirs ? cause.Cause! : failure;
        custody.On(DestinationEvent.Failed);
        var error = MigrationException.From(first, phase, custody.Owner);
        var isCancelled = custody.Owner == GuestOwner.Source
            && first is OperationCanceledException && cancellationToken.IsCancellationRequested;
        if (!isCancelled && setup.IsFalseStart(error.Reason))
        {
            await arrival.LeaveAsync(error.Message).ConfigureAwait(false);
        }

        await TearDownAsync(first, error, isOurs).ConfigureAwait(false);
        if (isCancelled)
        {
            MigrationLog.Cancelled(logger, phase);
            return new OperationCanceledException("the migration was cancelled; the guest is at its source", first, cancellationToken);
        }

        if (arrival.HasLeft)
        {
            return error; // admission has logged and reported it
        }

        MigrationMetrics.Failed(error.Reason);
        MigrationLog.Failed(logger, error.Reason, error.Message);
        return error;
    }

    private async Task TearDownAsync(Exception first, MigrationException error, bool isOurs)
    {
        var teardown = new Teardown();
        if (!isOurs)
        {
            await teardown.RunAsync(() => ShutWithFailureAsync(error.Reason)).ConfigureAwait(false);
        }

        await teardown.RunAsync(() => multifd.AbortAsync(first)).ConfigureAwait(false);
        await teardown.RunAsync(() => postcopy.DisposeAsync().AsTask()).ConfigureAwait(false);
        await teardown.RunAsync(() => custody.EndAsync(error)).ConfigureAwait(false);
        if (teardown.Failure is { } incomplete)
        {
            MigrationLog.TeardownFailed(logger, incomplete.Message, incomplete);
        }
    }

    /// <summary>
    /// Whether the source may be sent SHUT 1. A source that still sends pages in postcopy may not, because it would not understand the
    /// message; the end of the link gives the guest back to it or pauses it.
    /// </summary>
    private bool MayTakeGuestBack(FailureReason reason) =>
        reason != FailureReason.OutcomeUnknown && postcopy.Listening is not { SourceHasEnded: false } && !WouldDeafen;

    /// <summary>
    /// Whether SHUT 1 could take the guest from its source. A QEMU up to 8.1 stops listening when it hears SHUT 1. If it has already
    /// switched to postcopy, with the switch still in its own socket buffers, no return of its guest reaches it after that. A QEMU that has
    /// not switched learns the same from the end of the link.
    /// </summary>
    private bool WouldDeafen =>
        stream.IsPostcopyAdvised && phases.Phase < MigrationPhase.DeviceState && !identity.Announced.ListensAfterShut;

    /// <summary>Sends SHUT 1 where the source listens and the guest is still its own, and aborts every main channel.</summary>
    private async Task ShutWithFailureAsync(FailureReason reason)
    {
        if (stream.IsReturnPathOpen && MayTakeGuestBack(reason) && PresentMain is { } main)
        {
            try
            {
                await notice.SendShutAsync(success: false, main, ChannelClosing.ShutTimeout).ConfigureAwait(false);
                var hasEnded = postcopy.Receiver is { SourceHasEnded: true };
                var limit = hasEnded ? ChannelClosing.GivenBackTimeout : ChannelClosing.ShutTimeout;
                HasGivenBack = await main.CloseAsync(limit, CancellationToken.None).ConfigureAwait(false) && hasEnded;
            }
            catch (Exception lost) when (lost is IOException or OperationCanceledException)
            {
                // The source sees the end of the channel instead.
            }
        }

        foreach (var admitted in channels.OfKind(ChannelKind.Main))
        {
            admitted.Channel.Abort();
        }
    }

    /// <summary>
    /// The main channel on which the source hears SHUT; null while a postcopy has no link. A migration that was recovered has taken one
    /// main channel for every link, and the source closes after the first SHUT, so a second one would only meet a closed connection.
    /// </summary>
    private Channel? PresentMain => postcopy.Listening is { } receiver
        ? receiver.Main
        : channels.OfKind(ChannelKind.Main).Select(static one => one.Channel).FirstOrDefault();
}
