using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration.Source;

/// <summary>What a migration looks like from outside: its phase, and the figures that its parts have at this moment.</summary>
/// <param name="plan">What is migrated, and to whom.</param>
/// <param name="clock">The phases of the migration.</param>
/// <param name="meter">Passes the figures on to the host.</param>
/// <param name="links">Tells the bytes, and which channels are there.</param>
/// <param name="answers">Tells whether the destination has answered.</param>
/// <param name="pages">Counts pages up to the switch.</param>
/// <param name="rounds">Tells how the rounds go.</param>
/// <param name="postcopy">Counts pages after the switch; null if there is none.</param>
/// <param name="pause">Tells whether the link is lost.</param>
/// <param name="custody">Tells who has the guest.</param>
internal sealed class SourceProgress(
    SourcePlan plan,
    PhaseClock clock,
    ProgressMeter meter,
    SourceLinks links,
    DestinationAnswers answers,
    IPageSender pages,
    RoundFigures rounds,
    PostcopySender? postcopy,
    SourcePause pause,
    SourceCustody custody)
{
    /// <summary>
    /// How long the first answer may take before progress mentions that it is missing. A destination that reads answers the first PING at
    /// once; this is much more than a slow link needs.
    /// </summary>
    private static readonly TimeSpan s_patienceForFirstAnswer = TimeSpan.FromSeconds(3);

    public long NormalPages => pages.NormalPages + (postcopy?.Totals.Normal ?? 0);

    public long ZeroPages => pages.ZeroPages + (postcopy?.Totals.Zero ?? 0);

    private string? WaitingFor
    {
        get
        {
            var channels = plan.Options.MultifdChannels;
            return clock.Phase switch
            {
                MigrationPhase.Connecting when links.Current is null => $"a connection to {plan.Destination}",
                MigrationPhase.Connecting => AwaitedChannels.DescribeMultifd(channels - links.Multifd.Now.Count, channels),
                MigrationPhase.Commit => "the destination's answer",
                MigrationPhase.Setup or MigrationPhase.Precopy or MigrationPhase.Switchover or MigrationPhase.DeviceState
                    when links.Current is { } link && answers.Pongs == 0
                        && plan.Time.GetElapsedTime(link.ListensSince) > s_patienceForFirstAnswer =>
                    $"the destination to begin reading: it may expect more multifd channels than {channels}",
                _ => null,
            };
        }
    }

    /// <summary>Enters <paramref name="phase"/>. The task completes when the host has been told.</summary>
    public async Task EnterAsync(MigrationPhase phase)
    {
        if (clock.Enter(phase))
        {
            MigrationLog.Phase(plan.Logger, phase);
            await ReportAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Reports the figures. The task completes when the host has been told.</summary>
    public Task ReportAsync()
    {
        Report();
        return meter.DrainAsync();
    }

    public void Report() => meter.Report(() => new MigrationProgress
    {
        Phase = clock.Phase,
        Round = rounds.Rounds,
        TransferredBytes = links.SentBytes,
        NormalPages = NormalPages,
        ZeroPages = ZeroPages,
        RemainingPages = postcopy?.PagesLeft ?? rounds.PagesLeft,
        IsPaused = pause.IsPaused,
        IsRecovering = pause.IsRecovering,
        PauseReason = pause.Reason,
        WaitingFor = WaitingFor,
        Owner = custody.Owner,
        DirtyBytesPerSecond = rounds.DirtyBytesPerSecond,
        ExpectedDowntime = rounds.ExpectedDowntime,
    });
}
