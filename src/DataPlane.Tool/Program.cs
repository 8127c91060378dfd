using System.Runtime.CompilerServices;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool;

internal static class Program
{
    private static Task<int> Main(string[] arguments) =>
        DescriptorFloor.Suffices() ? RunAsync(arguments) : Task.FromResult((int)ExitCode.Failed);

    // RunAsync is kept out of line, so that the libraries it needs are loaded only after the limit of descriptors has been checked.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static async Task<int> RunAsync(string[] arguments)
    {
        if (MemoryDumps.AreForbidden(arguments, Environment.GetEnvironmentVariable))
        {
            MemoryDumps.Forbid();
        }

        var console = ToolConsole.Process();
        ProcessEdge.GuardThreads(arguments, console);
        return await ProcessEdge.RunAsync(arguments, console, async () =>
        {
            using var signals = new StopSignals();
            return await DataPlaneCommandLine.RunAsync(arguments, console, signals.Token).ConfigureAwait(false);
        }).ConfigureAwait(false);
    }
}
