using System.CommandLine;
using System.Text.Json.Serialization.Metadata;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.CommandLine;

/// <summary>What all commands do alike when they are called.</summary>
internal static class CommandBody
{
    /// <summary>Has a command run a body that fills a document: see <see cref="CommandRunner"/>.</summary>
    /// <param name="command">The command.</param>
    /// <param name="console">Where it speaks.</param>
    /// <param name="output">Its options of output.</param>
    /// <param name="body">What it does.</param>
    /// <param name="whenStopped">How it ends when it is stopped; as interrupted where this is missing.</param>
    public static void SetBody<TDocument>(
        this Command command,
        ToolConsole console,
        OutputOptions output,
        Func<ParseResult, CommandContext, TDocument, Task<ExitCode>> body,
        Func<ParseResult, ExitCode>? whenStopped = null)
        where TDocument : CommandDocument, new() =>
        command.SetAction((arguments, stop) => CommandRunner.RunAsync(
            new CommandCall<TDocument>
            {
                Name = NameOf(arguments.CommandResult),
                Console = console,
                Arguments = arguments,
                Output = output,
                Document = new TDocument(),
                Form = FormOf<TDocument>(ToolJson.Documents),
                LineForm = FormOf<TDocument>(ToolJson.Lines),
                WhenStopped = whenStopped?.Invoke(arguments) ?? ExitCode.Interrupted,
            },
            (context, document) => body(arguments, context, document),
            stop));

    /// <summary>As typed; the program has one name whatever started it.</summary>
    private static string NameOf(System.CommandLine.Parsing.CommandResult called) =>
        called.Parent is System.CommandLine.Parsing.CommandResult parent ? $"{NameOf(parent)} {called.Command.Name}" : "dataplane";

    private static JsonTypeInfo<TDocument> FormOf<TDocument>(ToolJson forms) =>
        (JsonTypeInfo<TDocument>)forms.GetTypeInfo(typeof(TDocument))!;
}
