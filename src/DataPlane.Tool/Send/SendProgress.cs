using DataPlane.Memory;
using DataPlane.Migration;
using DataPlane.Tool.Output;
using DataPlane.Tool.Receive;

namespace DataPlane.Tool.Send;

/// <summary>Shows a guest that leaves as pages of its memory.</summary>
internal sealed class SendProgress(IProgressDisplay display, long ramBytes) : IProgress<MigrationProgress>
{
    public void Report(MigrationProgress value) => display.Report(new ProgressSample
    {
        Stage = ReceiveReport.PhaseName(value.Phase).Replace('_', ' '),
        DoneBytes = Math.Min(ramBytes, (value.NormalPages + value.ZeroPages) << TargetPage.Shift),
        TotalBytes = ramBytes,
        BytesPerSecond = value.BytesPerSecond,
    });
}
