using DataPlane.Tool.Output;
using DataPlane.Tool.Postcopy;
using DataPlane.Tool.SavedVms;

namespace DataPlane.Tool.Send;

/// <summary>Shows the progress of a guest that leaves, as pages of its memory.</summary>
/// <param name="display">Where the progress is shown.</param>
/// <param name="ramBytes">The length of the guest's memory, in bytes.</param>
/// <param name="migration">Also gets the progress, with postcopy; null otherwise.</param>
internal sealed class SendProgress(IProgressDisplay display, long ramBytes, ControlledMigration? migration) : IProgress<MigrationProgress>
{
    public void Report(MigrationProgress value)
    {
        migration?.Report(value);
        display.Report(ProgressStages.Waiting(value) ?? new ProgressSample
        {
            Stage = value.IsRecovering ? "recovering" : value.IsPaused ? "paused"
                : SavedVmReport.PhaseName(value.Phase).Replace('_', ' '),
            DoneBytes = ProgressStages.Done(value, ramBytes),
            TotalBytes = ramBytes,
            BytesPerSecond = ProgressStages.Rate(value),
        });
    }
}
