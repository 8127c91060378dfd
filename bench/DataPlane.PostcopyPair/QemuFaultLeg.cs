using System.Globalization;
using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.PostcopyPair;

/// <summary>
/// Page faults from QEMU to QEMU, by its own count (capability postcopy-blocktime). The guest stands still, and the monitor reads a word of
/// every page in an order that looks random: a guest that walks through its memory meets hardly a missing page, since the background
/// follows it.
/// </summary>
internal sealed class QemuFaultLeg(VmFiles files, WorkFolder work)
{
    public const string Leg = "qemu";

    // Before the switch, so that nearly all is left for behind it.
    private const long BytesPerSecondBefore = 32 << 20;

    private int _started;

    public async Task<FaultSample> RunAsync(FaultCase about, int run, CancellationToken token)
    {
        var vm = await files.GetAsync(VmKind.Sleeper, about.RamMiB, token);
        var name = $"{++_started}";
        var options = vm.Options.IncomingIn(vm.Options.Version) with
        {
            StayStopped = true,
            Extra = about.IsHuge ? HugePages(about.RamMiB) : [],
        };
        await using var source = await VmFiles.LoadAsync(
            options, vm.Path, work, $"fault-source-{name}", token);
        string[] capabilities = about.Preempt ? ["postcopy-ram", "postcopy-preempt"] : ["postcopy-ram"];
        await source.PrepareMigrationAsync(
            new MigrationSettings
            {
                Capabilities = capabilities,
                MaxBandwidth = BytesPerSecondBefore,
                Parameters = [("max-postcopy-bandwidth", about.BackgroundLimit ?? 0)],
            },
            token);
        await using var destination = await QemuProcess.StartAsync(options, work, $"fault-destination-{name}", token);
        await destination.PrepareMigrationAsync(new MigrationSettings { Capabilities = [.. capabilities, "postcopy-blocktime"] }, token);
        await source.StartMigrationAsync(await destination.StartIncomingAsync("tcp:127.0.0.1:0", token), token);
        await source.WaitForStateAsync("active", token);
        await source.ExecuteAsync("migrate-start-postcopy", null, token);
        await source.WaitForStateAsync("postcopy-active", token);
        var migrating = source.WaitForMigrationAsync("completed", token);
        foreach (var offset in TouchOrder.Of((long)about.RamMiB << 20, about.PageBytes).TakeWhile(_ => !migrating.IsCompleted))
        {
            var word = string.Create(CultureInfo.InvariantCulture, $"xp/1gx 0x{offset:x}");
            await destination.ExecuteAsync("human-monitor-command", new JsonObject { ["command-line"] = word }, token);
        }

        var sent = await migrating;
        var received = await destination.WaitForMigrationAsync("completed", token);

        var latencies = LatencyDistribution.Read(received);
        return new FaultSample(
            Leg,
            run,
            about.Name,
            latencies.Faults,
            received.GetProperty("postcopy-latency").GetDouble() / 1000,
            latencies.At(0.5).Value,
            latencies.At(0.99).Value,
            latencies.At(0.999).Value,
            latencies.At(1).To)
        {
            Details = new()
            {
                ["requests"] = sent.GetProperty("ram").GetProperty("postcopy-requests").GetInt64(),
                ["seconds"] = sent.GetProperty("total-time").GetInt64() / 1e3,
                ["distribution"] = latencies.ToJson(),
            },
        };
    }

    private static string[] HugePages(int ramMiB) =>
    [
        "-object", $"memory-backend-memfd,id=pc.ram,size={ramMiB}M,hugetlb=on,hugetlbsize=2M,share=on",
        "-machine", "memory-backend=pc.ram",
    ];
}
