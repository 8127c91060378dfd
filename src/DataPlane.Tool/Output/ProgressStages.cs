using DataPlane.Memory;
using DataPlane.Migration;

namespace DataPlane.Tool.Output;

/// <summary>Moments of a migration that all commands show alike.</summary>
internal static class ProgressStages
{
    /// <summary>What the migration waits for; null while it moves, or is paused, which has words of its own.</summary>
    public static ProgressSample? Waiting(MigrationProgress value) =>
        value is { WaitingFor: { } awaited, IsPaused: false, IsRecovering: false }
            ? new ProgressSample { Stage = $"waiting for {awaited}", IsWaiting = true } : null;

    /// <summary>How fast memory moves; null in stages in which none does, where it would foretell an end that is hours away.</summary>
    public static double? Rate(MigrationProgress value) =>
        value is { Phase: MigrationPhase.Precopy or MigrationPhase.Postcopy, IsPaused: false, IsRecovering: false }
            ? value.BytesPerSecond : null;

    /// <summary>Bytes of <paramref name="total"/> that are there: all of them once the migration is complete, also those never sent.</summary>
    public static long Done(MigrationProgress value, long total) => value.Phase == MigrationPhase.Completed ? total
        : Math.Min(total, (value.NormalPages + value.ZeroPages) << TargetPage.Shift);
}
