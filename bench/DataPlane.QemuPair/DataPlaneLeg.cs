using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuPair;

/// <summary>`dataplane bench` with a paused guest of the same size and the same kind of memory.</summary>
internal sealed class DataPlaneLeg(PairOptions options, MixedMemory? memory, string? tlsFolder, WorkFolder work)
{
    private const string Listening = "listening on ";

    /// <summary>A copy of the command that is told to use SslStream, not OpenSSL: at its next run and later.</summary>
    private string? _tool;

    public string Name { get; private init; } = "dataplane";

    public static DataPlaneLeg WithSslStream(PairOptions pair, MixedMemory? memory, string tlsFolder, WorkFolder work)
    {
        var folder = work.NewFolder("sslstream");
        foreach (var file in Directory.GetFiles(Path.GetDirectoryName(Repository.Tool)!))
        {
            File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        }

        var settings = Path.Combine(folder, "dataplane.runtimeconfig.json");
        var root = JsonNode.Parse(File.ReadAllText(settings))!;
        var options = (JsonObject)root["runtimeOptions"]!;
        options["configProperties"] ??= new JsonObject();
        options["configProperties"]!["DataPlane.Transport.Tls.UseSslStream"] = true;
        File.WriteAllText(settings, root.ToJsonString());
        return new DataPlaneLeg(pair, memory, tlsFolder, work)
        {
            Name = "dataplane_sslstream",
            _tool = Path.Combine(folder, "dataplane.dll"),
        };
    }

    public async Task<Sample> RunAsync(int run, CancellationToken token)
    {
        var json = work[$"{Name}-{run}.json"];
        // Sessions of their own, as the QEMUs have: the kernel shares the cores out among sessions first, and this one may have other work.
        string[] credentials = tlsFolder is null ? [] : ["--tls-dir", tlsFolder];
        await using var serve = await ChildProcess.StartAsync(
            "serve", "setsid", ["-w", "dotnet", _tool ?? Repository.Tool, "serve", "--listen", "127.0.0.1:0", .. credentials]);
        var listening = await serve.Errors.WaitForAsync(
            line => line.StartsWith(Listening, StringComparison.Ordinal), "it listens", token: token);
        string[] arguments =
        [
            "-w", "dotnet", _tool ?? Repository.Tool, "bench", "--to", listening[Listening.Length..], "--ram", $"{options.RamMiB}M",
            "--channels", options.Channels.ToString(CultureInfo.InvariantCulture), "--compression", options.Compression,
            "--dirty-rate", "0", "--zero-percent", "0", "--runs", "1", "--no-progress", "--json", json,
            .. credentials,
            .. options.OurLevel is { } level ? ["--level", level.ToString(CultureInfo.InvariantCulture)] : Array.Empty<string>(),
            .. memory is null ? Array.Empty<string>() : ["--memory-file", memory.Path],
        ];
        await using var bench = await ChildProcess.StartAsync("bench", "setsid", arguments);
        if (await bench.WaitForExitAsync(token: token) is var code and not 0)
        {
            throw new InvalidOperationException($"dataplane bench: exit {code}: {string.Join(" | ", bench.Errors.Snapshot())}");
        }

        var result = JsonElement.Parse(await File.ReadAllTextAsync(json, token)).GetProperty("runs")[0];
        var migration = result.GetProperty("migration");
        return new Sample(
            Name,
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
