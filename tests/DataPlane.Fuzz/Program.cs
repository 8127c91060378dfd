using System.Globalization;
using SharpFuzz;

namespace DataPlane.Fuzz;

/// <summary>The program that tests/fuzz builds, instruments and runs; see docs/fuzzing.md.</summary>
internal static class Program
{
    private const int UsageError = 2;

    // Longer than the inputs of any target.
    private const int BufferBytes = 1 << 20;

    private static int Main(string[] arguments)
    {
        switch (arguments)
        {
            case ["list"]:
                List();
                return 0;
            case ["instrument", var folder]:
                Instrumentation.Apply(folder);
                return 0;
            case ["limit", var name] when FuzzTargets.Find(name) is { } make:
                using (var target = make())
                {
                    Console.WriteLine(target.MaxInputBytes.ToString(CultureInfo.InvariantCulture));
                }

                return 0;
            case ["afl", var name] when FuzzTargets.Find(name) is { } make:
                Serve(make);
                return 0;
            case ["replay", var name, .. var files] when FuzzTargets.Find(name) is { } make:
                using (var target = make())
                {
                    return Replay(target, files) == 0 ? 0 : 1;
                }

            case ["limit" or "afl" or "replay", var name, ..]:
                Console.Error.WriteLine($"no such target: '{name}'");
                return UsageError;
            default:
                Console.Error.WriteLine("usage: list | limit NAME | instrument FOLDER | afl NAME | replay NAME FILE...");
                return UsageError;
        }
    }

    private static void List()
    {
        foreach ((var name, var make) in FuzzTargets.All)
        {
            using var target = make();
            Console.WriteLine($"{name,-24} {target.Reads}");
        }
    }

    /// <summary>
    /// Under afl-fuzz. Out of process: the fork server survives what kills a process (a stack that overflows, a guard page that is touched)
    /// and a run that does not end, and starts a new process after each.
    /// </summary>
    private static void Serve(Func<IFuzzTarget> make)
    {
        var buffer = new byte[BufferBytes];
        IFuzzTarget? target = null;
        Fuzzer.OutOfProcess.Run(stream =>
        {
            var length = stream.ReadAtLeast(buffer, buffer.Length, throwOnEndOfStream: false);
            FuzzRun.Once(target ??= make(), buffer.AsSpan(0, length));
        });
    }

    private static int Replay(IFuzzTarget target, string[] files)
    {
        var failures = 0;
        foreach (var file in files)
        {
            try
            {
                Console.WriteLine($"{file}: {(FuzzRun.Once(target, File.ReadAllBytes(file)) ? "accepted" : "refused")}, all right");
            }
            catch (Exception exception)
            {
                failures++;
                Console.WriteLine($"{file}: {exception}");
            }
        }

        return failures;
    }
}
