namespace DataPlane.Tool.CommandLine;

/// <summary>The process' surroundings as a value, so that commands run in tests without touching the real ones.</summary>
internal sealed record ToolConsole
{
    public required TextWriter Out { get; init; }

    public required TextWriter Error { get; init; }

    /// <summary>Stderr is a terminal: progress may redraw it.</summary>
    public bool ErrorIsTerminal { get; init; }

    /// <summary>The user's wish of no colours (NO_COLOR, any non-empty value).</summary>
    public bool NoColor { get; init; }

    public TimeProvider Time { get; init; } = TimeProvider.System;

    public static ToolConsole Process() => new()
    {
        Out = Console.Out,
        Error = Console.Error,
        // TERM=dumb is a terminal that cannot move its cursor.
        ErrorIsTerminal = !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb",
        NoColor = !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR")),
    };
}
