using System.Globalization;
using System.Runtime.InteropServices;

namespace DataPlane.Tool.Output;

/// <summary>The machine on which a result was measured. Without it the result cannot be compared.</summary>
internal sealed record HostFacts
{
    /// <summary>Release of the running kernel, as <c>uname -r</c> prints it.</summary>
    public required string Kernel { get; init; }

    /// <summary>Processors that this process may use.</summary>
    public required int Cores { get; init; }

    public required long MemoryBytes { get; init; }

    public required string Cpu { get; init; }

    public required string Architecture { get; init; }

    public required string Runtime { get; init; }

    public static HostFacts Current { get; } = new()
    {
        Kernel = FirstLine("/proc/sys/kernel/osrelease") ?? Environment.OSVersion.Version.ToString(),
        Cores = Environment.ProcessorCount,
        MemoryBytes = MemoryTotal(),
        Cpu = CpuModel(),
        Architecture = RuntimeInformation.ProcessArchitecture.ToString(),
        Runtime = RuntimeInformation.FrameworkDescription,
    };

    /// <summary>The memory of the machine, or the limit of a container as the runtime knows it, whichever is less.</summary>
    private static long MemoryTotal()
    {
        var limit = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        var total = ValueOf("/proc/meminfo", "MemTotal")?.Split(' ')[0];
        return long.TryParse(total, NumberStyles.None, CultureInfo.InvariantCulture, out var kilobytes)
            ? Math.Min(kilobytes * 1024, limit > 0 ? limit : long.MaxValue)
            : limit;
    }

    private static string CpuModel() => ValueOf("/proc/cpuinfo", "model name") ?? "unknown";

    private static string? FirstLine(string path) => Lines(path).FirstOrDefault();

    private static string? ValueOf(string path, string key)
    {
        string? line = Lines(path).FirstOrDefault(line => line.StartsWith(key, StringComparison.Ordinal));
        return line?[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim();
    }

    // A sandbox may hide /proc; facts about the machine are never a reason to fail.
    private static IEnumerable<string> Lines(string path)
    {
        try
        {
            return File.ReadLines(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return [];
        }
    }
}
