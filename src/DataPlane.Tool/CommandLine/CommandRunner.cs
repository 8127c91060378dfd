using System.CommandLine;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// The one way in which commands run: the body does the work and fills the document. Every way in which it can end becomes an exit code, at
/// most one line on stderr, and a complete JSON document.
/// </summary>
/// <remarks>
/// <code>
/// | the body                                         | exit code       | result        |
/// | returns a code                                   | that code       | ok, or failed |
/// | throws CommandException                          | its code        | failed        |
/// | ... that cannot tell, also after a stop          | 3               | failed        |
/// | throws anything after a stop was asked for       | 130, or 0 for a server (see WhenStopped) | interrupted, or ok |
/// | throws anything else                             | 1               | failed        |
/// </code>
/// </remarks>
internal static class CommandRunner
{
    public static async Task<int> RunAsync<TDocument>(
        CommandCall<TDocument> call, Func<CommandContext, TDocument, Task<ExitCode>> body, CancellationToken stop)
        where TDocument : CommandDocument
    {
        var output = call.Output.Read(call.Arguments);
        JsonSink sink;
        try
        {
            sink = JsonSink.Open(output.JsonPath, call.Console.Out);
        }
        catch (CommandException exception)
        {
            call.Console.Error.WriteLine($"{call.Name}: {exception.Message}");
            return (int)exception.ExitCode;
        }

        using (sink)
        {
            var document = call.Document;
            document.StartedAt = call.Console.Time.GetUtcNow();
            document.Options = RecordOptions(call.Arguments);
            var exitCode = await RunBodyAsync(call, output, body, stop).ConfigureAwait(false);
            return (int)WriteDocument(call, output, sink, exitCode);
        }
    }

    private static async Task<ExitCode> RunBodyAsync<TDocument>(
        CommandCall<TDocument> call, OutputSettings output, Func<CommandContext, TDocument, Task<ExitCode>> body, CancellationToken stop)
        where TDocument : CommandDocument
    {
        var document = call.Document;
        try
        {
            using var logs = Logging.Create(output);
            // A terminal has somebody in front of it. The reader of a pipe or a file may stop, and nothing here waits for that reader.
            using var words = call.Console.ErrorIsTerminal ? null : new UnblockedWriter(call.Console.Error);
            var console = words is null ? call.Console : call.Console with { Error = words };
            var progress = ProgressDisplays.Create(console, output);
            var context = new CommandContext(console, output, progress, logs, stop);
            try
            {
                await using (progress.ConfigureAwait(false))
                {
                    var exitCode = await body(context, document).ConfigureAwait(false);
                    document.Result = exitCode == ExitCode.Done ? CommandResult.Ok : CommandResult.Failed;
                    return exitCode;
                }
            }
            finally
            {
                context.DeliverResults();
            }
        }
        // A failure after a stop was asked for comes from the stop: a closed socket, or a child that got the same Ctrl-C. An outcome that
        // nobody here can know is the exception: the stop has not changed it.
        catch (Exception exception) when (stop.IsCancellationRequested
            && exception is not CommandException { ExitCode: ExitCode.CannotTell })
        {
            document.Result = call.WhenStopped == ExitCode.Done ? CommandResult.Ok : CommandResult.Interrupted;
            if (call.WhenStopped != ExitCode.Done)
            {
                document.Error = Report(call, output, "interrupted", null);
            }

            return call.WhenStopped;
        }
        catch (CommandException exception)
        {
            document.Error = Report(call, output, exception.Message, exception);
            return exception.ExitCode;
        }
        // The edge of the process: whatever went wrong becomes one line and an exit code, and the document stays complete.
#pragma warning disable CA1031
        catch (Exception exception)
#pragma warning restore CA1031
        {
            var message = exception is IOException or UnauthorizedAccessException
                ? exception.Message
                : $"{exception.GetType().Name}: {exception.Message}";
            document.Error = Report(call, output, message, exception);
            return ExitCode.Failed;
        }
    }

    private static string Report<TDocument>(CommandCall<TDocument> call, OutputSettings output, string message, Exception? exception)
        where TDocument : CommandDocument
    {
        var line = OneLine.Of(message);
        call.Console.Error.WriteLine($"{call.Name}: {line}");
        if (output.Verbose && exception is not null)
        {
            call.Console.Error.WriteLine(exception);
        }

        return line;
    }

    private static ExitCode WriteDocument<TDocument>(CommandCall<TDocument> call, OutputSettings output, JsonSink sink, ExitCode exitCode)
        where TDocument : CommandDocument
    {
        try
        {
            sink.Write(call.Document, call.Form);
            if (output.JsonStream)
            {
                call.Console.Out.WriteLine(System.Text.Json.JsonSerializer.Serialize(call.Document, call.LineForm));
            }

            call.Console.Out.Flush();
            return exitCode;
        }
        catch (Exception exception) when (exception is CommandException or IOException)
        {
            // A result that could not be delivered is no success.
            call.Console.Error.WriteLine($"{call.Name}: {OneLine.Of(exception.Message)}");
            return exitCode == ExitCode.Done ? ExitCode.Failed : exitCode;
        }
    }

    private static JsonObject RecordOptions(ParseResult arguments)
    {
        var options = new JsonObject();
        foreach (var option in arguments.CommandResult.Command.Options.OfType<IRecordedOption>())
        {
            option.Record(arguments, options);
        }

        return options;
    }
}

/// <summary>One call of a command: its name for messages, its arguments, and the document it will fill.</summary>
internal sealed record CommandCall<TDocument>
    where TDocument : CommandDocument
{
    /// <summary>The command as typed, for example <c>dataplane bench</c>.</summary>
    public required string Name { get; init; }

    public required ToolConsole Console { get; init; }

    public required ParseResult Arguments { get; init; }

    public required OutputOptions Output { get; init; }

    public required TDocument Document { get; init; }

    public required JsonTypeInfo<TDocument> Form { get; init; }

    /// <summary>The form of the document on one line, for the JSON stream.</summary>
    public required JsonTypeInfo<TDocument> LineForm { get; init; }

    /// <summary>The exit code when the command is stopped: success for a server, which is meant to run until then.</summary>
    public ExitCode WhenStopped { get; init; } = ExitCode.Interrupted;
}
