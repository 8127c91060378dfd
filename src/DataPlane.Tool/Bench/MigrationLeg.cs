using DataPlane.Linux;
using DataPlane.Tool.Output;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Bench;

/// <summary>
/// The migration at the source: the library's own source moves the live guest, and measures the time from the first connect to the
/// destination's confirmation.
/// </summary>
internal sealed class MigrationLeg(BenchRequest request, ILogger<MigrationSource> logger) : IBenchLeg<MigrationSample>
{
    public const string LegName = "migration";

    public string Name => LegName;

    public CompressionMethod Compression => request.Compression.Method;

    public async Task<MigrationSample> RunAsync(
        LegDestination destination, Workload guest, Action<ProgressSample> report, CancellationToken cancellation)
    {
        var source = new MigrationSource(new WorkloadGuest(guest), request.SourceOptions(destination.Channels), logger);
        var address = ChannelAddress.Tcp(destination.Address.ToString(), destination.Port);
        var cpuBefore = ResourceUsage.CpuTime(ProcessCalls.UsageOfProcess) - guest.CpuTime;
        var done = await source.MigrateAsync(address, new LegProgress(guest, report), cancellation).ConfigureAwait(false);
        var cpu = ResourceUsage.CpuTime(ProcessCalls.UsageOfProcess) - guest.CpuTime - cpuBefore;
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
}
