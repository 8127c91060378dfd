using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;

namespace DataPlane.Tests.Linux;

/// <summary>Asks the C compiler what integer expressions are worth, so that our numbers are checked against the real headers.</summary>
internal static class CProgram
{
    /// <summary>
    /// The values, or null where there is no C compiler. Each expression comes with the macro that must be defined for it, or null;
    /// without the macro it has no value.
    /// </summary>
    internal static async Task<Dictionary<string, long>?> EvaluateAsync(
        IEnumerable<string> headers, IReadOnlyList<(string Expression, string? Guard)> expressions, CancellationToken cancellation)
    {
        var folder = Directory.CreateTempSubdirectory("dataplane-c-");
        try
        {
            var source = Path.Combine(folder.FullName, "numbers.c");
            var program = Path.Combine(folder.FullName, "numbers");
            await File.WriteAllTextAsync(source, Source(headers, expressions), cancellation);
            if (await RunAsync("cc", ["-std=gnu11", "-w", "-o", program, source], cancellation) is null)
            {
                return null;
            }

            var output = await RunAsync(program, [], cancellation)
                ?? throw new InvalidOperationException("the compiled program is gone");
            return output.Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Select(line => line.Split('=', 2))
                .ToDictionary(parts => expressions[int.Parse(parts[0], CultureInfo.InvariantCulture)].Expression,
                    parts => long.Parse(parts[1], CultureInfo.InvariantCulture));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private static string Source(IEnumerable<string> headers, IReadOnlyList<(string Expression, string? Guard)> expressions)
    {
        var lines = new List<string> { "#define _GNU_SOURCE", "#include <stddef.h>", "#include <stdio.h>" };
        lines.AddRange(headers.Select(header => $"#include <{header}>"));
        lines.Add("int main(void) {");
        for (var i = 0; i < expressions.Count; i++)
        {
            (var expression, var guard) = expressions[i];
            var print = $"printf(\"{i}=%lld\\n\", (long long)({expression}));";
            lines.AddRange(guard is null ? [print] : [$"#ifdef {guard}", print, "#endif"]);
        }
        lines.Add("return 0; }");
        return string.Join('\n', lines) + "\n";
    }

    // Null where the program does not exist; throws with its messages where it fails.
    private static async Task<string?> RunAsync(string program, string[] arguments, CancellationToken cancellation)
    {
        var info = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true };
        Process process;
        try
        {
            process = Process.Start(info)!;
        }
        catch (Win32Exception)
        {
            return null;
        }
        using (process)
        {
            var error = process.StandardError.ReadToEndAsync(cancellation);
            var output = await process.StandardOutput.ReadToEndAsync(cancellation);
            await process.WaitForExitAsync(cancellation);
            return process.ExitCode == 0 ? output : throw new InvalidOperationException($"{program}: {await error}");
        }
    }
}
