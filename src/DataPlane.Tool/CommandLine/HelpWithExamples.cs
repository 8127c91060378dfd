using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.Runtime.CompilerServices;

namespace DataPlane.Tool.CommandLine;

/// <summary>One line of a command's examples: what it does and how it is typed.</summary>
internal readonly record struct HelpExample(string Purpose, string Line);

/// <summary>Ends the help of every command with its examples.</summary>
internal sealed class HelpWithExamples : SynchronousCommandLineAction
{
    private static readonly ConditionalWeakTable<Command, HelpExample[]> s_examples = [];

    private readonly HelpAction _help = new();

    /// <summary>Sets the examples of a command. Each example has been run exactly as it is written.</summary>
    public static void SetExamples(Command command, params HelpExample[] examples) => s_examples.AddOrUpdate(command, examples);

    public static IReadOnlyList<HelpExample> ExamplesOf(Command command) =>
        s_examples.TryGetValue(command, out var found) ? found : [];

    public override int Invoke(ParseResult parseResult)
    {
        var result = _help.Invoke(parseResult);
        var output = parseResult.InvocationConfiguration.Output;
        var examples = ExamplesOf(parseResult.CommandResult.Command);
        if (examples.Count == 0)
        {
            return result;
        }

        output.WriteLine("Examples:");
        foreach (var example in examples)
        {
            output.WriteLine($"  # {example.Purpose}");
            output.WriteLine($"  {example.Line}");
        }

        return result;
    }

    public override bool ClearsParseErrors => true;
}
