using DataPlane.Tool.CommandLine;

ToolConsole console = ToolConsole.Process();
ProcessEdge.GuardThreads(args, console);
return await ProcessEdge.RunAsync(args, console, async () =>
{
    using var signals = new StopSignals();
    return await DataPlaneCommandLine.RunAsync(args, console, signals.Token).ConfigureAwait(false);
}).ConfigureAwait(false);
