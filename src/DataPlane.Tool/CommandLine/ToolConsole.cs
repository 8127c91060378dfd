namespace DataPlane.Tool.CommandLine;

/// <summary>The process' surroundings as a value, so that commands run in tests without touching the real ones.</summary>
internal sealed record ToolConsole
{
    /// <summary>Stdout; what would steer a terminal is escaped.</summary>
    public required TextWriter Out
    {
        get;
        init
        {
            RawOut = value;
            field = EscapingWriter.Over(value);
        }
    }

    /// <summary>Stderr; what would steer a terminal is escaped.</summary>
    public required TextWriter Error
    {
        get;
        init
        {
            RawError = value;
            field = EscapingWriter.Over(value);
        }
    }

    /// <summary>Stdout for sequences that this program itself sends to a terminal, and for nothing else.</summary>
    public TextWriter RawOut { get; private init; } = TextWriter.Null;

    /// <summary>Stderr for the progress bar, which escapes its own texts.</summary>
    public TextWriter RawError { get; private init; } = TextWriter.Null;

    /// <summary>Whether stdout is a terminal, on which a live table may be redrawn.</summary>
    public bool OutIsTerminal { get; init; }

    /// <summary>Whether stderr is a terminal, on which progress may be redrawn.</summary>
    public bool ErrorIsTerminal { get; init; }

    /// <summary>Whether the user wants no colours (NO_COLOR, any non-empty value).</summary>
    public bool NoColor { get; init; }

    public TimeProvider Time { get; init; } = TimeProvider.System;

    public static ToolConsole Process() => new()
    {
        Out = Console.Out,
        Error = new LastingWriter(Console.Error),
        OutIsTerminal = !Console.IsOutputRedirected && CanMoveCursor,
        ErrorIsTerminal = !Console.IsErrorRedirected && CanMoveCursor,
        NoColor = !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")),
    };

    // A terminal with TERM=dumb cannot move its cursor.
    private static bool CanMoveCursor => Environment.GetEnvironmentVariable("TERM") != "dumb";
}
