using DataPlane.QemuPair;
using DataPlane.QemuTests.Harness;

namespace DataPlane.GuardPair;

/// <summary>
/// Throughput. One source serves all runs: its guest has filled RAM with random bytes and is paused; a finished migration leaves it
/// complete at the source, from where it is sent again. The destination and what stands before it are new each time.
/// </summary>
internal sealed class MigrationLeg(QemuOptions options, int channels, WorkFolder work) : IAsyncDisposable
{
    private QemuProcess? _source;
    private int _started;

    private MigrationSettings Settings => new() { Channels = channels, ReturnPath = true };

    public async Task StartAsync(CancellationToken token)
    {
        _source = await QemuProcess.StartAsync(options, work, "source", token);
        await _source.Console.WaitForFillAsync(token);
        await _source.PrepareMigrationAsync(Settings, token);
        await _source.StopGuestAsync(token);
    }

    public async Task<MigrationSample> RunAsync(string leg, int run, CancellationToken token)
    {
        var source = _source ?? throw new InvalidOperationException("the source has not been started");
        // Preallocated: the wire is compared, not the kernel's clearing of pages.
        var incoming = options.IncomingIn(options.Version) with { StayStopped = true, SecondMonitor = true, Extra = ["-mem-prealloc"] };
        await using var destination = await QemuProcess.StartAsync(incoming, work, $"destination-{++_started}", token);
        await destination.PrepareMigrationAsync(Settings, token);
        await using var front = Fronts.Create(leg, work);
        var uri = await front.StartAsync(destination, token);
        var frontCpu = front.CpuSeconds;
        var sourceCpu = ProcessUsage.CpuSeconds(source.ProcessId);
        var destinationCpu = ProcessUsage.CpuSeconds(destination.ProcessId);

        var migration = await source.MigrateAsync(uri, token);
        await destination.WaitForMigrationAsync("completed", token);

        var sample = new MigrationSample(
            leg,
            run,
            migration.GetProperty("total-time").GetInt64() / 1e3,
            migration.GetProperty("ram").GetProperty("transferred").GetInt64(),
            front.CpuSeconds - frontCpu,
            ProcessUsage.CpuSeconds(source.ProcessId) - sourceCpu,
            ProcessUsage.CpuSeconds(destination.ProcessId) - destinationCpu);
        // Back from `postmigrate` to a guest that can be sent again.
        await source.ContinueGuestAsync(token);
        await source.StopGuestAsync(token);
        return sample;
    }

    public ValueTask DisposeAsync() => _source?.DisposeAsync() ?? ValueTask.CompletedTask;
}
