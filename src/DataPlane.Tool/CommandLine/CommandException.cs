namespace DataPlane.Tool.CommandLine;

/// <summary>A failure whose message is the one line for stderr. The line names what failed, on which channel and in which phase.</summary>
internal sealed class CommandException : Exception
{
    public CommandException(string message, ExitCode exitCode = ExitCode.Failed, Exception? innerException = null)
        : base(message, innerException) => ExitCode = exitCode;

    public ExitCode ExitCode { get; }
}
