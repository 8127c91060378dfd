using DataPlane.Linux;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using DataPlane.Tool.Serve;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Bench;

/// <summary>
/// The migration by postcopy at the source: the live guest is handed over at once, runs at the destination, and all of its memory follows.
/// </summary>
internal sealed class PostcopyLeg(BenchRequest request, ILogger<MigrationSource> logger) : IBenchLeg<PostcopySample>
{
    public const string LegName = "postcopy";

    public string Name => LegName;

    public bool NeedsRunningGuest => true;

    public PostcopyRequest? Postcopy => new()
    {
        Preempt = request.Preempt,
        Seed = request.Guest.Seed,
        ZeroPercent = request.Guest.ZeroPercent,
        WindowBytes = request.Guest.DirtyWindowBytes ?? request.Guest.RamBytes,
        TouchBytesPerSecond = request.TouchBytesPerSecond,
        Threads = request.TouchThreads,
    };

    public async Task<PostcopySample> RunAsync(
        LegDestination destination, Workload guest, Action<ProgressSample> report, CancellationToken cancellation)
    {
        var options = request.SourceOptions(destination.Channels) with
        {
            Postcopy = true,
            Preempt = request.Preempt,
        };
        var source = new MigrationSource(new WorkloadGuest(guest), options, logger);
        source.SwitchToPostcopy();
        var address = ChannelAddress.Tcp(destination.Address.ToString(), destination.Port);
        var cpuBefore = ResourceUsage.CpuTime(ProcessCalls.UsageOfProcess) - guest.CpuTime;
        var done = await source.MigrateAsync(address, new LegProgress(guest, report), cancellation).ConfigureAwait(false);
        var cpu = ResourceUsage.CpuTime(ProcessCalls.UsageOfProcess) - guest.CpuTime - cpuBefore;
        return new PostcopySample
        {
            Seconds = done.Duration.TotalSeconds,
            TransferredBytes = done.TransferredBytes,
            SourceCpuSeconds = cpu.TotalSeconds,
            DowntimeSeconds = done.Downtime.TotalSeconds,
            PostcopySeconds = done.Phases.Where(static phase => phase.Phase is MigrationPhase.Postcopy or MigrationPhase.Commit)
                .Sum(static phase => phase.Duration.TotalSeconds),
            NormalPages = done.NormalPages,
            ZeroPages = done.ZeroPages,
        };
    }

    public PostcopySample Complete(PostcopySample sample, ResultMessage result)
    {
        var theirs = result.Postcopy ?? throw new CommandException("postcopy: the destination does not say how its guest was");
        return sample with
        {
            StartDelaySeconds = theirs.StartDelaySeconds,
            Requests = theirs.Requests,
            RequestedPages = theirs.RequestedPages,
            Touches = theirs.Touches,
        };
    }
}
