using System.Diagnostics;
using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuPair;

/// <summary>
/// QEMU to QEMU. One source serves all runs: its guest has filled RAM with random bytes and is paused; a finished migration leaves it
/// complete at the source, from where it is sent again. The destination is a new process each time. With memory from a file the source is a
/// new process, too,
/// whose guest has not begun to run.
/// </summary>
internal sealed class QemuLeg(QemuOptions options, PairOptions pair, MixedMemory? memory, string? tlsFolder, WorkFolder work)
    : IAsyncDisposable
{
    private QemuProcess? _source;
    private int _started;

    public async Task StartAsync(CancellationToken token)
    {
        if (memory is not null)
        {
            return;
        }

        _source = await QemuProcess.StartAsync(options with { Extra = [.. Credentials("client")] }, work, "source", token);
        await _source.Console.WaitForFillAsync(token);
        await _source.PrepareMigrationAsync(Settings, token);
        await _source.StopGuestAsync(token);
    }

    /// <summary>
    /// One migration. Its time is the source's own (query-migrate, total-time: from before the first connect until the destination has
    /// confirmed over the return path), in whole milliseconds.
    /// </summary>
    public async Task<Sample> RunAsync(int run, bool preallocated, CancellationToken token)
    {
        await using var loaded = memory is null ? null : await StartLoadedAsync(memory, token);
        var source = loaded ?? _source ?? throw new InvalidOperationException("the source has not been started");
        var incoming = options.IncomingIn(options.Version) with
        {
            StayStopped = true,
            Extra = [.. Credentials("server"), .. preallocated ? ["-mem-prealloc"] : (string[])[]],
        };
        await using var destination = await QemuProcess.StartAsync(incoming, work, $"destination-{++_started}", token);
        await destination.PrepareMigrationAsync(Settings, token);
        var uri = await destination.StartIncomingAsync("tcp:127.0.0.1:0", token);
        var resident = ProcessUsage.ResidentBytes(destination.ProcessId);
        var sourceCpu = ProcessUsage.CpuSeconds(source.ProcessId);
        var destinationCpu = ProcessUsage.CpuSeconds(destination.ProcessId);

        var clock = Stopwatch.StartNew();
        var migration = await source.MigrateAsync(uri, token);
        var wall = clock.Elapsed.TotalSeconds;

        await destination.WaitForMigrationAsync("completed", token);
        var sample = new Sample(
            preallocated ? "qemu_preallocated" : "qemu",
            run,
            migration.GetProperty("total-time").GetInt64() / 1e3,
            migration.GetProperty("ram").GetProperty("transferred").GetInt64(),
            ProcessUsage.CpuSeconds(source.ProcessId) - sourceCpu,
            ProcessUsage.CpuSeconds(destination.ProcessId) - destinationCpu)
        {
            Details = new JsonObject
            {
                ["command_to_completed_seconds"] = wall,
                ["destination_resident_bytes_before"] = resident,
                ["query_migrate"] = JsonNode.Parse(migration.GetRawText()),
            },
        };
        if (loaded is not null)
        {
            return sample;
        }
        // Back from `postmigrate` to a guest that can be sent again.
        await source.ContinueGuestAsync(token);
        await source.StopGuestAsync(token);
        return sample;
    }

    public ValueTask DisposeAsync() => _source?.DisposeAsync() ?? ValueTask.CompletedTask;

    private MigrationSettings Settings => new()
    {
        Channels = pair.Channels,
        ReturnPath = true,
        Parameters = tlsFolder is null ? pair.Parameters : [.. pair.Parameters, ("tls-creds", "tls0")],
    };

    private string[] Credentials(string end) =>
        tlsFolder is null ? [] : ["-object", $"tls-creds-x509,id=tls0,dir={tlsFolder},endpoint={end}"];

    private async Task<QemuProcess> StartLoadedAsync(MixedMemory contents, CancellationToken token)
    {
        var unborn = options with { StayStopped = true, Extra = [.. contents.Arguments, .. Credentials("client")] };
        var source = await QemuProcess.StartAsync(unborn, work, $"source-{++_started}", token);
        await source.PrepareMigrationAsync(Settings, token);
        return source;
    }
}
