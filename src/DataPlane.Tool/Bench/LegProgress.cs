using DataPlane.Tool.Output;

namespace DataPlane.Tool.Bench;

/// <summary>Reports the progress of a migration as the progress of its leg.</summary>
internal sealed class LegProgress(Workload guest, Action<ProgressSample> report) : IProgress<MigrationProgress>
{
    public void Report(MigrationProgress value) => report(ProgressStages.Waiting(value) ?? new ProgressSample
    {
        Stage = $"{value.Phase}",
        DoneBytes = guest.Block.Length - (value.RemainingPages << TargetPage.Shift),
        TotalBytes = guest.Block.Length,
        BytesPerSecond = ProgressStages.Rate(value),
        Round = value.Round,
        Detail = value.ExpectedDowntime is { } downtime ? $"expected downtime {downtime.TotalMilliseconds:0} ms" : null,
    });
}
