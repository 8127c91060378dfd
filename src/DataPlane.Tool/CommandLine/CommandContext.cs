using DataPlane.Tool.Output;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.CommandLine;

/// <summary>What a running command works with: where its words go, and when it shall stop.</summary>
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
    /// Results for people. They come out on stdout when the command has ended, whatever the end: a progress bar must be gone by then.
    /// Goes nowhere when stdout belongs to JSON.
    /// </summary>
    public TextWriter Results { get; }

    public IProgressDisplay Progress { get; }

    public ILoggerFactory Logs { get; }

    /// <summary>Cancelled by Ctrl-C or SIGTERM: leave cleanly by throwing <see cref="OperationCanceledException"/>.</summary>
    public CancellationToken Stop { get; }

    public TimeProvider Time => _console.Time;

    /// <summary>Brings the results to stdout.</summary>
    public void DeliverResults()
    {
        if (Results is StringWriter collected)
        {
            _console.Out.Write(collected.ToString());
        }
    }

    /// <summary>Something the user should know but that changes nothing; silenced by --quiet.</summary>
    public void Note(string text)
    {
        if (!_output.Quiet)
        {
            Progress.Say(OneLine.Of(text));
        }
    }

    /// <summary>Something the user must know to read the results rightly; not silenced.</summary>
    public void Warn(string text) => Progress.Say("warning: " + OneLine.Of(text));

    /// <summary>The line that scripts wait for: connections are accepted from now on. Not silenced by --quiet.</summary>
    public void AnnounceListening(string address)
    {
        Progress.Say($"listening on {address}");
        _console.Error.Flush();
    }
}
