using DataPlane.Migration;

namespace DataPlane.Tool.Output;

/// <summary>Moments of a migration that all commands show alike.</summary>
internal static class ProgressStages
{
    /// <summary>What the migration waits for; null while it moves, or is paused, which has words of its own.</summary>
    public static ProgressSample? Waiting(MigrationProgress value) =>
        value is { WaitingFor: { } awaited, IsPaused: false, IsRecovering: false }
            ? new ProgressSample { Stage = $"waiting for {awaited}", IsWaiting = true } : null;
}
