using DataPlane.Memory;

namespace DataPlane.Migration;

internal sealed partial class SourceSession
{
    private readonly Lock _reporting = new();
    private TimeSpan _lastReport;
    private long _lastBytes;

    private void Report()
    {
        if (_progress is null)
        {
            return;
        }

        lock (_reporting)
        {
            var elapsed = _clock.Elapsed;
            var bytes = SentBytes;
            var seconds = (elapsed - _lastReport).TotalSeconds;
            _progress.Report(new MigrationProgress
            {
                Phase = _clock.Phase,
                Elapsed = elapsed,
                Round = _rounds,
                TransferredBytes = bytes,
                NormalPages = _pages?.NormalPages ?? 0,
                ZeroPages = _pages?.ZeroPages ?? 0,
                RemainingPages = Math.Max(0, _roundPages - (_feed?.Taken ?? 0)),
                BytesPerSecond = seconds > 0 ? (bytes - _lastBytes) / seconds : 0,
                DirtyBytesPerSecond = _dirtyPagesPerSecond * TargetPage.Size,
                ExpectedDowntime = _expectedDowntime,
            });
            _lastReport = elapsed;
            _lastBytes = bytes;
        }
    }
}
