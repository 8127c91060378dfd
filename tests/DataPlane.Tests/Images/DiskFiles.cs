using System.Diagnostics;
using System.Globalization;

namespace DataPlane.Tests.Images;

/// <summary>What the BCL does not say about files.</summary>
internal static class DiskFiles
{
    /// <summary>Bytes that a file takes on the disk.</summary>
    public static long AllocatedBytes(string path) => long.Parse(Run("stat", "-c", "%b", path).Output, CultureInfo.InvariantCulture) * 512;

    /// <summary>Permissions in octal digits.</summary>
    public static string Mode(string path) => Run("stat", "-c", "%a", path).Output;

    public static (int ExitCode, string Output) Run(string program, params string[] arguments)
    {
        using var process = Process.Start(
            new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = process.StandardOutput.ReadToEnd() + process.StandardError.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, output.Trim());
    }
}
