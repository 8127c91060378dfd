namespace DataPlane.Tool.CommandLine;

/// <summary>
/// Turns every failure outside a command's own body (help into a full disk, no descriptor left for a pipe of the runtime) into one line and
/// exit code 1. --verbose adds the stack trace.
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

    /// <summary>Makes an exception that leaves a thread end the process with one line and exit code 1, and without a dump.</summary>
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
            // Stderr cannot be written either: only the exit code is left.
        }
    }
}
