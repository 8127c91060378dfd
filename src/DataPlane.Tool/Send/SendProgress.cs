using DataPlane.Migration;
using DataPlane.Tool.Output;
using DataPlane.Tool.Postcopy;
using DataPlane.Tool.SavedVms;

namespace DataPlane.Tool.Send;

/// <summary>Shows a guest that leaves as pages of its memory.</summary>
/// <param name="display">Where it is shown.</param>
/// <param name="ramBytes">The guest's memory.</param>
/// <param name="desk">With postcopy: who else follows.</param>
internal sealed class SendProgress(IProgressDisplay display, long ramBytes, PostcopyDesk? desk) : IProgress<MigrationProgress>
{
    public void Report(MigrationProgress value)
    {
        desk?.Report(value);
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
