using DataPlane.Tool.CommandLine;

using var signals = new StopSignals();
return await DataPlaneCommandLine.RunAsync(args, ToolConsole.Process(), signals.Token).ConfigureAwait(false);
