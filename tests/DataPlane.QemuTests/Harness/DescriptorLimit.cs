using System.Globalization;

namespace DataPlane.QemuTests.Harness;

/// <summary>How many files this process may have open.</summary>
internal static class DescriptorLimit
{
    /// <summary>Raises the limit where that is allowed. Children inherit it.</summary>
    /// <returns>Whether so many descriptors can be open now.</returns>
    public static async Task<bool> RaiseAsync(int descriptors, CancellationToken token)
    {
        if (Current() >= descriptors)
        {
            return true;
        }

        var both = $"--nofile={descriptors}:{descriptors}";
        await using var prlimit = await ChildProcess.StartAsync(
            "prlimit", "prlimit", ["--pid", Environment.ProcessId.ToString(CultureInfo.InvariantCulture), both]);
        await prlimit.WaitForExitAsync(token: token);
        return Current() >= descriptors;
    }

    private static long Current()
    {
        var line = File.ReadLines("/proc/self/limits").Single(line => line.StartsWith("Max open files", StringComparison.Ordinal));
        var soft = line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[3];
        return soft == "unlimited" ? long.MaxValue : long.Parse(soft, CultureInfo.InvariantCulture);
    }
}
