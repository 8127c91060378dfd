using System.CommandLine;
using System.Text.Json.Serialization.Metadata;
using DataPlane.Tool.Output;

namespace DataPlane.Tool.CommandLine;

/// <summary>Connects a command of the parser with the body that it runs.</summary>
internal static class CommandBody
{
    /// <summary>Has a command run a body that fills a document: see <see cref="CommandRunner"/>.</summary>
    /// <param name="command">The command.</param>
    /// <param name="console">Where the command writes.</param>
    /// <param name="output">The command's output options.</param>
    /// <param name="body">The work of the command.</param>
    /// <param name="whenStopped">The exit code of a command that was stopped; null for <see cref="ExitCode.Interrupted"/>.</param>
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

    /// <summary>The command's name as typed, which begins with <c>dataplane</c> whatever started the program.</summary>
    private static string NameOf(System.CommandLine.Parsing.CommandResult called) =>
        called.Parent is System.CommandLine.Parsing.CommandResult parent ? $"{NameOf(parent)} {called.Command.Name}" : "dataplane";

    private static JsonTypeInfo<TDocument> FormOf<TDocument>(ToolJson forms) =>
        (JsonTypeInfo<TDocument>)forms.GetTypeInfo(typeof(TDocument))!;
}
