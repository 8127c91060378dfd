namespace DataPlane.Tool.Output;

/// <summary>The moments of a migration that all commands show alike.</summary>
internal static class ProgressStages
{
    /// <summary>What the migration waits for; null while it moves, and in a pause, which is shown in another way.</summary>
    public static ProgressSample? Waiting(MigrationProgress value) =>
        value is { WaitingFor: { } awaited, IsPaused: false, IsRecovering: false }
            ? new ProgressSample { Stage = $"waiting for {awaited}", IsWaiting = true } : null;

    /// <summary>
    /// The rate at which memory moves; null in phases in which none does, where it would predict an end that is hours away.
    /// </summary>
    public static double? Rate(MigrationProgress value) =>
        value is { Phase: MigrationPhase.Precopy or MigrationPhase.Postcopy, IsPaused: false, IsRecovering: false }
            ? value.BytesPerSecond : null;

    /// <summary>
    /// The bytes of <paramref name="total"/> that have come. Once the migration is complete these are all, also those never sent.
    /// </summary>
    public static long Done(MigrationProgress value, long total) => value.Phase == MigrationPhase.Completed ? total
        : Math.Min(total, (value.NormalPages + value.ZeroPages) << TargetPage.Shift);
}
