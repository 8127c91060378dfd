using DataPlane.Images;
using DataPlane.Tool.Output;
using DataPlane.Tool.Postcopy;
using DataPlane.Tool.SavedVms;

namespace DataPlane.Tool.Receive;

/// <summary>Shows the progress of a migration as pages of the announced memory.</summary>
/// <param name="display">Where the progress is shown.</param>
/// <param name="guest">The VM.</param>
/// <param name="migration">Also gets the progress, with postcopy; null otherwise.</param>
internal sealed class ReceiveProgress(IProgressDisplay display, MappedRamGuest guest, ControlledMigration? migration)
    : IProgress<MigrationProgress>
{
    public void Report(MigrationProgress value)
    {
        migration?.Report(value);
        if (ProgressStages.Waiting(value) is { } waiting)
        {
            display.Report(waiting);
            return;
        }

        var total = guest.RamBytes;
        display.Report(new ProgressSample
        {
            Stage = value.IsPaused ? "paused" : SavedVmReport.PhaseName(value.Phase).Replace('_', ' '),
            DoneBytes = total == 0 ? null : ProgressStages.Done(value, total),
            TotalBytes = total == 0 ? null : total,
            BytesPerSecond = ProgressStages.Rate(value),
        });
    }
}
