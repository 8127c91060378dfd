using System.CommandLine;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// The options for what a command writes and where: documents, progress and logs. They are added to a command as a group.
/// </summary>
internal sealed class OutputOptions
{
    public ToolOption<string?> Json { get; } =
        Options.Text("--json", "FILE",
            "write the results as one JSON document, also on failure; - is stdout, which then holds nothing else");

    public ToolOption<bool> JsonStream { get; } =
        Options.Flag("--json-stream", "one JSON line per interval on stdout and the document as the last line");

    public ToolOption<Duration?> Interval { get; } =
        Options.Time("--interval", "time between progress lines", new Duration(TimeSpan.FromSeconds(1)));

    public ToolOption<bool> Quiet { get; } = Options.Flag("--quiet", "say nothing on stderr but warnings and the error");

    public ToolOption<bool> Verbose { get; } = Options.Flag("--verbose", "log what happens on stderr, and how a failure came about");

    public ToolOption<bool> LogJson { get; } = Options.Flag("--log-json", "log on stderr as JSON lines");

    public ToolOption<bool> NoProgress { get; } = Options.Flag("--no-progress", "no progress bar and no progress lines");

    public static OutputOptions AddTo(Command command)
    {
        var options = new OutputOptions();
        foreach (var option in (ReadOnlySpan<Option>)
            [options.Json, options.JsonStream, options.Interval, options.Quiet, options.Verbose, options.LogJson, options.NoProgress])
        {
            command.Options.Add(option);
        }

        command.Validators.Add(result =>
        {
            if (result.GetValue(options.JsonStream) && result.GetValue(options.Json) == "-")
            {
                result.AddError("--json - and --json-stream both claim stdout");
            }

            if (result.GetValue(options.Quiet) && result.GetValue(options.Verbose))
            {
                result.AddError("--quiet and --verbose contradict each other");
            }

            if (result.GetValue(options.Interval) is { Value.Ticks: <= 0 })
            {
                result.AddError("--interval: must be more than zero");
            }
        });
        return options;
    }

    /// <summary>Reads the values given on the command line.</summary>
    public OutputSettings Read(ParseResult result) => new()
    {
        JsonPath = result.GetValue(Json),
        JsonStream = result.GetValue(JsonStream),
        Interval = result.GetValue(Interval)!.Value.Value,
        Quiet = result.GetValue(Quiet),
        Verbose = result.GetValue(Verbose),
        LogJson = result.GetValue(LogJson),
        NoProgress = result.GetValue(NoProgress),
    };
}

/// <summary>The output options as values.</summary>
internal sealed record OutputSettings
{
    public string? JsonPath { get; init; }

    public bool JsonStream { get; init; }

    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(1);

    public bool Quiet { get; init; }

    public bool Verbose { get; init; }

    public bool LogJson { get; init; }

    public bool NoProgress { get; init; }

    /// <summary>Whether stdout belongs to JSON, so that no tables for people may go there.</summary>
    public bool StdoutIsJson => JsonStream || JsonPath == "-";
}
