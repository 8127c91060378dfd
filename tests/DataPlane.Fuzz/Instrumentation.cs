using SharpFuzz;

namespace DataPlane.Fuzz;

/// <summary>Writes AFL's coverage into copies of our assemblies, so that the fuzzer sees which branches an input takes.</summary>
internal static class Instrumentation
{
    /// <summary>What is fuzzed; not the harness itself, whose branches say nothing.</summary>
    private static readonly string[] s_assemblies = ["DataPlane.Core.dll", "DataPlane.Images.dll", "DataPlane.Guard.dll", "dataplane.dll"];

    /// <param name="folder">A copy of this program's folder; its assemblies are rewritten in place.</param>
    public static void Apply(string folder)
    {
        foreach (var assembly in s_assemblies)
        {
            var types = Fuzzer.Instrument(Path.Combine(folder, assembly), _ => true, Options.Value).Count();
            Console.WriteLine($"{assembly}: {types} types instrumented");
        }
    }
}
