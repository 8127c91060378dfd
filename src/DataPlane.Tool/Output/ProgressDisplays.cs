using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Output;

/// <summary>
/// Chooses how progress is shown: a bar only on a terminal, plain lines otherwise, and the JSON stream whenever it is asked for.
/// </summary>
internal static class ProgressDisplays
{
    public static IProgressDisplay Create(ToolConsole console, OutputSettings output)
    {
        var display = ForPeople(console, output);
        return output.JsonStream
            ? new StreamedDisplay(display, new JsonStream(console.Out, console.Time, output.Interval))
            : display;
    }

    private static IProgressDisplay ForPeople(ToolConsole console, OutputSettings output)
    {
        if (output.Quiet || output.NoProgress)
        {
            return new SilentDisplay(console.Error);
        }
        // Log lines would break a bar apart.
        var logs = output.Verbose || output.LogJson;
        return console.ErrorIsTerminal && !logs ? Bar(console) : new LineDisplay(console.Error, console.Time, output.Interval);
    }

    // Bar is a method of its own, so that the terminal library is loaded only when a bar is shown.
    private static BarDisplay Bar(ToolConsole console) => new(console);
}
