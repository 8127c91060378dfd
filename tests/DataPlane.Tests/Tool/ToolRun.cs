using DataPlane.Tool.CommandLine;

namespace DataPlane.Tests.Tool;

/// <summary>Runs a command line in this process with its own stdout and stderr.</summary>
internal sealed record ToolRun(int ExitCode, string Out, string Error)
{
    public string[] ErrorLines => Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);

    public static async Task<ToolRun> RunAsync(IReadOnlyList<string> arguments, CancellationToken stop)
    {
        var output = new StringWriter();
        var error = new StringWriter();
        var console = new ToolConsole { Out = TextWriter.Synchronized(output), Error = TextWriter.Synchronized(error) };
        var exitCode = await DataPlaneCommandLine.RunAsync(arguments, console, stop);
        return new ToolRun(exitCode, output.ToString(), error.ToString());
    }
}
