namespace DataPlane.Migration;

internal sealed partial class DestinationSession
{
    private readonly Lock _reporting = new();
    private TimeSpan _lastReport;
    private long _lastBytes;

    private long ReceivedBytes => Admitted().Sum(static one => one.Channel.BytesReceived);

    private long NormalPages => _multifd.NormalPages + (_reader?.NormalPages ?? 0);

    private long ZeroPages => _multifd.ZeroPages + (_reader?.ZeroPages ?? 0);

    private void Report()
    {
        if (_progress is null)
        {
            return;
        }

        lock (_reporting)
        {
            var elapsed = _clock.Elapsed;
            var bytes = ReceivedBytes;
            var seconds = (elapsed - _lastReport).TotalSeconds;
            _progress.Report(new MigrationProgress
            {
                Phase = _clock.Phase,
                Elapsed = elapsed,
                TransferredBytes = bytes,
                NormalPages = NormalPages,
                ZeroPages = ZeroPages,
                BytesPerSecond = seconds > 0 ? (bytes - _lastBytes) / seconds : 0,
            });
            _lastReport = elapsed;
            _lastBytes = bytes;
        }
    }
}
