using DataPlane.Images;
using DataPlane.Memory;
using DataPlane.Migration;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Receive;

/// <summary>Shows a migration under way as pages of the announced memory.</summary>
internal sealed class ReceiveProgress(IProgressDisplay display, MappedRamGuest guest) : IProgress<MigrationProgress>
{
    public void Report(MigrationProgress value)
    {
        long total = guest.RamBytes;
        long arrived = Math.Min(total, (value.NormalPages + value.ZeroPages) << TargetPage.Shift);
        display.Report(new ProgressSample
        {
            Stage = ReceiveReport.PhaseName(value.Phase).Replace('_', ' '),
            DoneBytes = total == 0 ? null : arrived,
            TotalBytes = total == 0 ? null : total,
            BytesPerSecond = value.BytesPerSecond,
        });
    }
}
