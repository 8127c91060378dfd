using System.Text.Json;
using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.GuardPair;

/// <summary>A real postcopy with a preempt channel, and what QEMU itself says of the page faults (postcopy-blocktime).</summary>
internal sealed class PostcopyLeg(QemuVersion version, WorkFolder work)
{
    // Fast enough to end, slow enough that the guest has to ask for most of what it touches.
    private const long BackgroundBytesPerSecond = 16 << 20;
    private const long BeforeBytes = 32 << 20;
    private int _started;

    public async Task<JsonObject> RunAsync(string leg, int run, CancellationToken token)
    {
        var options = new QemuOptions
        {
            Version = version,
            Machine = version.NewestMachine,
            MemoryMiB = 256,
            Disk = new GuestDisk { RandomOnly = true, PagesCheckedPerPass = 4096 },
        };
        var name = $"{++_started}";
        await using var source = await QemuProcess.StartAsync(options, work, $"postcopy-source-{name}", token);
        await source.Console.WaitForAsync(report => report.Pass >= 2, "the second pass", token);
        await source.PrepareMigrationAsync(
            new MigrationSettings
            {
                Capabilities = ["postcopy-ram", "postcopy-preempt"],
                MaxBandwidth = 4 * BackgroundBytesPerSecond,
                Parameters = [("max-postcopy-bandwidth", BackgroundBytesPerSecond)],
            },
            token);
        await using var destination = await QemuProcess.StartAsync(
            options.IncomingIn(version) with { SecondMonitor = true }, work, $"postcopy-destination-{name}", token);
        await destination.PrepareMigrationAsync(
            new MigrationSettings { Capabilities = ["postcopy-ram", "postcopy-preempt", "postcopy-blocktime"] }, token);
        await using var front = Fronts.Create(leg, work);
        await source.StartMigrationAsync(await front.StartAsync(destination, token), token);
        await source.WaitForCounterAsync("ram", "transferred", BeforeBytes, token);
        await source.ExecuteAsync("migrate-start-postcopy", null, token);
        var sent = await source.WaitForMigrationAsync("completed", token);
        var received = await destination.WaitForMigrationAsync("completed", token);

        var sample = new JsonObject
        {
            ["leg"] = leg,
            ["run"] = run,
            ["postcopy_requests"] = sent.GetProperty("ram").GetProperty("postcopy-requests").GetInt64(),
        };
        foreach (var property in received.EnumerateObject()
            .Where(property => property.Name.StartsWith("postcopy", StringComparison.Ordinal)))
        {
            sample[property.Name.Replace('-', '_')] =
                property.Value.ValueKind == JsonValueKind.Null ? null : JsonNode.Parse(property.Value.GetRawText());
        }

        return sample;
    }
}
