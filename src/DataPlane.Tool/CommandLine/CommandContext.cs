using DataPlane.Tool.Output;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.CommandLine;

/// <summary>What a running command works with: where it writes, and when it has to stop.</summary>
internal sealed class CommandContext
{
    private readonly ToolConsole _console;
    private readonly OutputSettings _output;

    public CommandContext(ToolConsole console, OutputSettings output, IProgressDisplay progress, ILoggerFactory logs,
        CancellationToken stop)
    {
        _console = console;
        _output = output;
        Progress = progress;
        Logs = logs;
        Stop = stop;
        Results = output.StdoutIsJson ? TextWriter.Null : new StringWriter();
    }

    /// <summary>
    /// The results for people. They reach stdout when the command has ended, however it ends: a progress bar must be gone by then. They are
    /// dropped when stdout belongs to JSON.
    /// </summary>
    public TextWriter Results { get; }

    public IProgressDisplay Progress { get; }

    public ILoggerFactory Logs { get; }

    /// <summary>
    /// Cancelled by Ctrl-C, SIGTERM or SIGHUP. A command then leaves cleanly by throwing <see cref="OperationCanceledException"/>.
    /// </summary>
    public CancellationToken Stop { get; }

    public TimeProvider Time => _console.Time;

    /// <summary>Writes the results to stdout.</summary>
    public void DeliverResults()
    {
        if (Results is StringWriter collected)
        {
            _console.Out.Write(collected.ToString());
        }
    }

    /// <summary>Writes something that the user should know but that changes nothing; --quiet silences it.</summary>
    public void Note(string text)
    {
        if (!_output.Quiet)
        {
            Progress.Say(OneLine.Of(text));
        }
    }

    /// <summary>Writes a warning that the user needs to read the results rightly; --quiet does not silence it.</summary>
    public void Warn(string text) => Progress.Say("warning: " + OneLine.Of(text));

    /// <summary>Writes the line that scripts wait for: connections are accepted from now on. --quiet does not silence it.</summary>
    public void AnnounceListening(string address)
    {
        Progress.Say($"listening on {address}");
        _console.Error.Flush();
    }
}
