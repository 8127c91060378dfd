using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace DataPlane.BenchSupport;

/// <summary>What a document of figures says of when and where they were taken.</summary>
internal static class MachineFacts
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true };

    public static string Now() => DateTime.UtcNow.ToString("yyyy-MM-dd'T'HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    public static JsonObject ToJson() => new()
    {
        ["processor"] = File.ReadLines("/proc/cpuinfo")
            .FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(": ")[^1],
        ["cores"] = Environment.ProcessorCount,
        ["memory_bytes"] = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
        ["kernel"] = File.ReadAllText("/proc/sys/kernel/osrelease").Trim(),
        ["runtime"] = RuntimeInformation.FrameworkDescription,
        ["transparent_huge_pages"] = File.ReadAllText("/sys/kernel/mm/transparent_hugepage/enabled").Trim(),
    };

    public static async Task WriteAsync(FileInfo file, JsonObject document, CancellationToken token)
    {
        file.Directory?.Create();
        await File.WriteAllTextAsync(file.FullName, document.ToJsonString(s_indented) + "\n", token);
    }
}
