using System.Globalization;
using SharpFuzz;

namespace DataPlane.Fuzz;

/// <summary>The program that tests/fuzz builds, instruments and runs; see docs/fuzzing.md.</summary>
internal static class Program
{
    private const int UsageError = 2;

    private static int Main(string[] arguments)
    {
        switch (arguments)
        {
            case ["list"]:
                foreach (IFuzzTarget target in FuzzTargets.All.Select(make => make()))
                    Console.WriteLine($"{target.Name,-24} {target.Reads}");
                return 0;
            case ["limit", var name] when FuzzTargets.Find(name) is { } target:
                Console.WriteLine(target.MaxInputBytes.ToString(CultureInfo.InvariantCulture));
                return 0;
            case ["instrument", var folder]:
                Instrumentation.Apply(folder);
                return 0;
            case ["afl", var name] when FuzzTargets.Find(name) is { } target:
                Serve(target);
                return 0;
            case ["replay", var name, .. var files] when FuzzTargets.Find(name) is { } target:
                return Replay(target, files);
            default:
                Console.Error.WriteLine("usage: list | limit NAME | instrument FOLDER | afl NAME | replay NAME FILE...");
                return UsageError;
        }
    }

    /// <summary>
    /// Under afl-fuzz. Out of process: the fork server survives what kills a process (a stack that overflows, a guard page that is touched)
    /// and a run that does not end, and starts a new process after each.
    /// </summary>
    private static void Serve(IFuzzTarget target)
    {
        // One byte more shows that the fuzzer was not told the limit; Once cuts it.
        byte[] buffer = new byte[target.MaxInputBytes + 1];
        Fuzzer.OutOfProcess.Run(stream => FuzzRun.Once(target, buffer.AsSpan(0, stream.ReadAtLeast(buffer, buffer.Length, false))));
    }

    private static int Replay(IFuzzTarget target, string[] files)
    {
        int failures = 0;
        foreach (string file in files)
        {
            try
            {
                FuzzRun.Once(target, File.ReadAllBytes(file));
                Console.WriteLine($"{file}: right");
            }
            catch (Exception exception)
            {
                failures++;
                Console.WriteLine($"{file}: {exception}");
            }
        }

        return failures == 0 ? 0 : 1;
    }
}
