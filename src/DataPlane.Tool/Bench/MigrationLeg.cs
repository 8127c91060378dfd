using DataPlane.Linux;
using DataPlane.Memory;
using DataPlane.Migration;
using DataPlane.Multifd.Compression;
using DataPlane.Tool.Output;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Bench;

/// <summary>
/// The migration at the source: the live guest moves by the library's own source. The clock is the migration's: first connect to the
/// destination's word.
/// </summary>
internal sealed class MigrationLeg(BenchRequest request, ILogger<MigrationSource> logger) : IBenchLeg<MigrationSample>
{
    public const string LegName = "migration";

    public string Name => LegName;

    public CompressionMethod Compression => request.Compression.Method;

    public async Task<MigrationSample> RunAsync(
        LegDestination destination, Workload guest, Action<ProgressSample> report, CancellationToken cancellation)
    {
        var options = new MigrationSourceOptions
        {
            MultifdChannels = destination.Channels,
            Compression = request.Compression.Method,
            CompressionLevel = request.Compression.Level,
            MaxDowntime = request.MaxDowntime,
            Channels = request.ChannelOptions,
            Tls = request.Tls,
            TlsHostName = request.TlsHostName,
        };
        var source = new MigrationSource(new WorkloadGuest(guest), options, logger);
        var address = ChannelAddress.Tcp(destination.Address.ToString(), destination.Port);
        TimeSpan cpuBefore = ResourceUsage.CpuTime(Libc.UsageOfProcess) - guest.CpuTime;
        MigrationReport done = await source.MigrateAsync(address, new Forward(guest, report), cancellation).ConfigureAwait(false);
        TimeSpan cpu = ResourceUsage.CpuTime(Libc.UsageOfProcess) - guest.CpuTime - cpuBefore;
        return new MigrationSample
        {
            Seconds = done.Duration.TotalSeconds,
            TransferredBytes = done.TransferredBytes,
            SourceCpuSeconds = cpu.TotalSeconds,
            Rounds = done.Rounds,
            DowntimeSeconds = done.Downtime.TotalSeconds,
            NormalPages = done.NormalPages,
            ZeroPages = done.ZeroPages,
            CompressionRatio = Compression == CompressionMethod.None ? null
                : (double)(done.NormalPages << TargetPage.Shift) / done.TransferredBytes,
        };
    }

    private sealed class Forward(Workload guest, Action<ProgressSample> report) : IProgress<MigrationProgress>
    {
        public void Report(MigrationProgress value) => report(new ProgressSample
        {
            Stage = $"{value.Phase}",
            DoneBytes = guest.Block.Length - (value.RemainingPages << TargetPage.Shift),
            TotalBytes = guest.Block.Length,
            BytesPerSecond = value.BytesPerSecond,
            Round = value.Round,
            Detail = value.ExpectedDowntime is { } downtime ? $"expected downtime {downtime.TotalMilliseconds:0} ms" : null,
        });
    }
}
