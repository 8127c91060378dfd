using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuPair;

/// <summary>`dataplane bench` with a paused guest of the same size, without zero pages.</summary>
internal sealed class DataPlaneLeg(int ramMiB, int channels, WorkFolder work)
{
    public async Task<Sample> RunAsync(int run, CancellationToken token)
    {
        var json = work[$"bench-{run}.json"];
        string[] arguments =
        [
            Repository.Tool, "bench", "--ram", $"{ramMiB}M", "--channels", channels.ToString(CultureInfo.InvariantCulture),
            "--dirty-rate", "0", "--zero-percent", "0", "--runs", "1", "--no-progress", "--json", json,
        ];
        await using var bench = await ChildProcess.StartAsync("bench", "dotnet", arguments);
        if (await bench.WaitForExitAsync(token: token) is var code and not 0)
            throw new InvalidOperationException($"dataplane bench: exit {code}: {string.Join(" | ", bench.Errors.Snapshot())}");
        var result = JsonElement.Parse(await File.ReadAllTextAsync(json, token)).GetProperty("runs")[0];
        var migration = result.GetProperty("migration");
        return new Sample(
            "dataplane",
            run,
            migration.GetProperty("seconds").GetDouble(),
            migration.GetProperty("transferred_bytes").GetInt64(),
            migration.GetProperty("source_cpu_seconds").GetDouble(),
            migration.GetProperty("destination_cpu_seconds").GetDouble())
        {
            Details = (JsonObject)JsonNode.Parse(result.GetRawText())!,
        };
    }
}
