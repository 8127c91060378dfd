using System.Diagnostics;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary>What tests do with processes of the tool.</summary>
internal static class ToolProcesses
{
    /// <param name="process">Who gets it.</param>
    /// <param name="signal">Its name without SIG, as "TERM".</param>
    internal static async Task SignalAsync(Process process, string signal)
    {
        using var kill = Process.Start("/bin/sh", ["-c", $"kill -{signal} {process.Id}"]);
        await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.Equal(0, kill.ExitCode);
    }
}
