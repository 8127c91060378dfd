using DataPlane.Migration.Custody;
using DataPlane.Multifd;
using DataPlane.Postcopy;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration.Destination;

/// <summary>Describes a migration to the host, while it is under way and when it has completed. Thread-safe.</summary>
/// <param name="identity">The source's VM.</param>
/// <param name="custody">Who has the guest.</param>
/// <param name="channels">The channels and their bytes.</param>
/// <param name="multifd">The pages on the multifd channels.</param>
/// <param name="stream">The pages on main.</param>
/// <param name="postcopy">The pages after the switch, and whether the link is lost.</param>
/// <param name="pauses">Why the link is lost.</param>
/// <param name="proof">Whether the source is proved to have heard that its guest is here.</param>
/// <param name="phases">The phases of the migration.</param>
/// <param name="downtime">How long the guest has stood still.</param>
/// <param name="logger">Takes the log events.</param>
internal sealed class DestinationReports(
    SourceIdentity identity,
    DestinationCustody custody,
    DestinationChannels channels,
    MultifdReceiver multifd,
    IncomingMainStream stream,
    IncomingPostcopy postcopy,
    PostcopyPauses pauses,
    HandoverProof proof,
    PhaseReporter phases,
    DowntimeClock downtime,
    ILogger logger)
{
    private long NormalPages => multifd.NormalPages + stream.NormalPages + (postcopy.Receiver?.DataPages ?? 0);

    private long ZeroPages => multifd.ZeroPages + stream.ZeroPages + (postcopy.Receiver?.ZeroPages ?? 0);

    /// <summary>Returns the state of the migration at this moment.</summary>
    public MigrationProgress Sample()
    {
        var isPaused = postcopy.Receiver is { IsPaused: true };
        return new MigrationProgress
        {
            Phase = phases.Phase,
            TransferredBytes = channels.ReceivedBytes,
            NormalPages = NormalPages,
            ZeroPages = ZeroPages,
            IsPaused = isPaused,
            PauseReason = pauses.Cause?.Message,
            WaitingFor = phases.Phase < MigrationPhase.Switchover ? channels.DescribeMissing() : null,
            Owner = custody.Owner,
            OwnershipUnknown = isPaused && proof.IsMissing,
        };
    }

    /// <summary>Ends the migration's last phase, and describes a migration whose guest stands still until now.</summary>
    public MigrationReport Complete(ArrivedStream arrived) => Complete(arrived, downtime.Elapsed, phases.Elapsed, startDelay: null);

    /// <summary>Ends the migration's last phase, and describes the migration.</summary>
    public MigrationReport Complete(ArrivedStream arrived, TimeSpan stoodStill, TimeSpan duration, TimeSpan? startDelay)
    {
        phases.Enter(MigrationPhase.Completed);
        var report = new MigrationReport
        {
            Uuid = identity.Uuid,
            Duration = duration,
            Downtime = stoodStill,
            Rounds = 0,
            Owner = custody.IsSnapshot ? GuestOwner.Source : GuestOwner.Destination,
            IsBackgroundSnapshot = custody.IsSnapshot,
            TransferredBytes = channels.ReceivedBytes,
            NormalPages = NormalPages,
            ZeroPages = ZeroPages,
            Postcopy = Describe(arrived.Switchover, startDelay),
            Phases = phases.Finished(),
            Channels = [.. channels.All().OrderBy(static one => (one.Kind, one.Id)).Select(static one =>
                new ChannelReport(one.Kind, one.Id, one.Channel.Peer, one.Channel.BytesReceived))],
        };
        MigrationMetrics.Completed(report);
        MigrationLog.Completed(logger, report.Duration, report.Downtime, report.Rounds, report.TransferredBytes);
        return report;
    }

    /// <summary>Returns the failure of a migration whose guest is here and does not start.</summary>
    public static MigrationException NotStarted(Exception failure) => new(
        FailureReason.HostFailed,
        MigrationPhase.Completed,
        channel: null,
        $"the guest has arrived and is gone from its source, but it does not start here: {failure.Message}",
        failure)
    {
        Owner = GuestOwner.Destination,
    };

    private PostcopyReport? Describe(PostcopySwitchover? switchover, TimeSpan? startDelay) =>
        switchover is null || postcopy.Receiver is not { } receiver ? null : new PostcopyReport
        {
            StartDelay = startDelay,
            PackageBytes = switchover.PackageBytes,
            Requests = receiver.ReturnPath.Requests,
            RequestedPages = receiver.AskedPages,
            Recoveries = receiver.Recoveries,
        };
}
