using Microsoft.Extensions.Logging;

namespace DataPlane.Migration.Destination;

/// <summary>Logs and reports each phase that a migration enters. Thread-safe.</summary>
/// <param name="clock">The phases.</param>
/// <param name="meter">Reports to the host.</param>
/// <param name="logger">Takes the log event of each phase.</param>
/// <param name="sample">Returns the state of the migration; called on any thread.</param>
internal sealed class PhaseReporter(PhaseClock clock, ProgressMeter meter, ILogger logger, Func<MigrationProgress> sample)
{
    public MigrationPhase Phase => clock.Phase;

    /// <summary>The time since the first channel was there.</summary>
    public TimeSpan Elapsed => clock.Elapsed;

    /// <summary>Begins to count the time, because the first channel is there.</summary>
    public void Begin() => clock.Restart();

    /// <summary>Enters a phase, unless the migration is in that phase or a later one already.</summary>
    public void Enter(MigrationPhase phase)
    {
        if (clock.Enter(phase))
        {
            MigrationLog.Phase(logger, phase);
            Report();
        }
    }

    public void Report() => meter.Report(sample);

    /// <summary>Completes when the host has been told everything that was reported before.</summary>
    public Task DrainAsync() => meter.DrainAsync();

    /// <summary>Reports at each interval until the result is disposed of. Returns null if nobody receives reports.</summary>
    public ITimer? ReportEvery(TimeSpan interval, TimeProvider time) =>
        meter.IsWanted ? time.CreateTimer(_ => Report(), null, interval, interval) : null;

    /// <summary>Returns the phases that are over, and how long each took.</summary>
    public IReadOnlyList<PhaseDuration> Finished() => clock.Finished();
}
