using DataPlane.Tool.CommandLine;

if (MemoryDumps.AreForbidden(args, Environment.GetEnvironmentVariable))
    MemoryDumps.Forbid();
ToolConsole console = ToolConsole.Process();
ProcessEdge.GuardThreads(args, console);
return await ProcessEdge.RunAsync(args, console, async () =>
{
    using var signals = new StopSignals();
    return await DataPlaneCommandLine.RunAsync(args, console, signals.Token).ConfigureAwait(false);
}).ConfigureAwait(false);
