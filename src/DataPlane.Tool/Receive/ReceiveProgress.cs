using DataPlane.Images;
using DataPlane.Memory;
using DataPlane.Migration;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.Receive;

/// <summary>Shows a migration under way as pages of the announced memory.</summary>
/// <param name="display">Where it is shown.</param>
/// <param name="guest">The VM.</param>
/// <param name="say">Takes the news of lost links.</param>
internal sealed class ReceiveProgress(IProgressDisplay display, MappedRamGuest guest, Action<string> say) : IProgress<MigrationProgress>
{
    private bool _paused;

    public void Report(MigrationProgress value)
    {
        if (value.IsPaused && !_paused)
            say("the link is lost: waiting for the source to come again (QEMU: 'migrate -r' to the same address)");
        _paused = value.IsPaused;
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
