using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.PostcopyPair;

/// <summary>All of a guest's memory by precopy on main, and by postcopy: a guest that stands still at both ends, so nothing is asked
/// for.</summary>
internal sealed class TotalLeg(int ramMiB, bool withQemu, VmFiles files, WorkFolder work) : IDisposable
{
    private SourceGuest? _guest;
    private int _started;

    public async Task<double> OurSecondsAsync(bool postcopy, CancellationToken token)
    {
        _guest ??= new SourceGuest((long)ramMiB << 20);
        using var incoming = new ArrivingGuest(RamAllocation.Default, touches: false);
        var options = new MigrationSourceOptions { Postcopy = postcopy, Preempt = postcopy };
        var report = await LiveMove.RunAsync(_guest, incoming, options, token);
        return report.Duration.TotalSeconds;
    }

    /// <summary>The source's own total-time.</summary>
    public async Task<double> QemuSecondsAsync(bool postcopy, CancellationToken token)
    {
        var vm = await files.GetAsync(VmKind.Sleeper, ramMiB, token);
        var options = vm.Options.IncomingIn(vm.Options.Version) with { StayStopped = true };
        var name = $"{++_started}";
        var settings = new MigrationSettings
        {
            ReturnPath = true,
            Capabilities = postcopy ? ["postcopy-ram", "postcopy-preempt"] : [],
            MaxBandwidth = postcopy ? 32 << 20 : 0,
        };
        await using var source = await VmFiles.LoadAsync(options, vm.Path, work, $"total-source-{name}", token);
        await source.PrepareMigrationAsync(settings, token);
        await using var destination = await QemuProcess.StartAsync(options, work, $"total-destination-{name}", token);
        await destination.PrepareMigrationAsync(settings, token);
        await source.StartMigrationAsync(await destination.StartIncomingAsync("tcp:127.0.0.1:0", token), token);
        if (postcopy)
        {
            await source.WaitForStateAsync("active", token);
            await source.ExecuteAsync("migrate-start-postcopy", null, token);
        }

        var migration = await source.WaitForMigrationAsync("completed", token);
        await destination.WaitForMigrationAsync("completed", token);
        return migration.GetProperty("total-time").GetInt64() / 1e3;
    }

    public async Task<JsonObject> RunAsync(int run, CancellationToken token)
    {
        var sample = new JsonObject { ["run"] = run, ["ram_bytes"] = (long)ramMiB << 20 };
        foreach (var postcopy in (bool[])[run % 2 == 0, run % 2 != 0])
        {
            var kind = postcopy ? "postcopy" : "precopy";
            sample[$"dataplane_{kind}_seconds"] = await OurSecondsAsync(postcopy, token);
            if (withQemu)
            {
                sample[$"qemu_{kind}_seconds"] = await QemuSecondsAsync(postcopy, token);
            }
        }

        return sample;
    }

    public void Dispose() => _guest?.Dispose();
}
