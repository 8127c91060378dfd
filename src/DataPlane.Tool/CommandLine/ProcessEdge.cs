namespace DataPlane.Tool.CommandLine;

/// <summary>
/// The last fence of the process: whatever went wrong outside a command's own body (help into a full disk, no descriptor left for a
/// pipe of the runtime) is one line and exit code 1. A stack trace is for --verbose.
/// </summary>
internal static class ProcessEdge
{
    public static async Task<int> RunAsync(IReadOnlyList<string> arguments, ToolConsole console, Func<Task<int>> body)
    {
        try
        {
            return await body().ConfigureAwait(false);
        }
#pragma warning disable CA1031 // the edge of the process
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Say(arguments, console, exception);
            return (int)ExitCode.Failed;
        }
    }

    /// <summary>The same for a thread that nobody waits for: the process ends, with a line and without a dump.</summary>
    public static void GuardThreads(IReadOnlyList<string> arguments, ToolConsole console) =>
        AppDomain.CurrentDomain.UnhandledException += (_, unhandled) =>
        {
            if (unhandled.ExceptionObject is Exception exception)
            {
                Say(arguments, console, exception);
            }

            Environment.Exit((int)ExitCode.Failed);
        };

    private static void Say(IReadOnlyList<string> arguments, ToolConsole console, Exception exception)
    {
        var cause = exception is TypeInitializationException ? exception.GetBaseException() : exception;
        var message = cause is IOException or UnauthorizedAccessException or CommandException
            ? cause.Message : $"{cause.GetType().Name}: {cause.Message}";
        try
        {
            console.Error.WriteLine($"dataplane: {OneLine.Of(message)}");
            if (arguments.Contains("--verbose"))
            {
                console.Error.WriteLine(exception);
            }
        }
        catch (IOException)
        {
            // Stderr takes nothing either: the exit code is what is left.
        }
    }
}
