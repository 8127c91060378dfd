using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;
using DataPlane.Tool.Bench;
using DataPlane.Tool.Guard;
using DataPlane.Tool.Inspect;
using DataPlane.Tool.Postcopy;
using DataPlane.Tool.Receive;
using DataPlane.Tool.Send;
using DataPlane.Tool.Serve;

namespace DataPlane.Tool.CommandLine;

/// <summary>The whole command line: which commands there are, and how a line is parsed and answered.</summary>
internal static class DataPlaneCommandLine
{
    /// <summary>
    /// Switches response files off: a word that begins with @ stays a word, so that the parser sees what <see cref="MemoryDumps"/> sees.
    /// </summary>
    private static readonly ParserConfiguration s_plain = new() { ResponseFileTokenReplacer = null };

    public static RootCommand Build(ToolConsole console)
    {
        var root = new RootCommand("The socket data plane of live migration: move, measure and keep running VMs, compatible with QEMU.");
        foreach (var option in root.Options)
        {
            if (option is HelpOption help)
            {
                help.Action = new HelpWithExamples();
            }
            else if (option is VersionOption version)
            {
                version.Aliases.Add("-V");
            }
        }

        HelpWithExamples.SetExamples(
            root,
            new HelpExample("move a live 1 GiB guest between two processes here, beside what the wire can do", "dataplane bench"),
            new HelpExample("the options of a command", "dataplane bench --help"));
        root.Subcommands.Add(BenchCommand.Create(console));
        root.Subcommands.Add(GuardCommand.Create(console));
        root.Subcommands.Add(InspectCommand.Create(console));
        root.Subcommands.Add(PostcopyCommand.Create(console));
        root.Subcommands.Add(ReceiveCommand.Create(console));
        root.Subcommands.Add(SendCommand.Create(console));
        root.Subcommands.Add(ServeCommand.Create(console));
        CommandRules.HoldBack(root);
        return root;
    }

    /// <summary>Parses and runs one command line. Every ending is an exit code; no exception leaves it.</summary>
    public static async Task<int> RunAsync(IReadOnlyList<string> arguments, ToolConsole console, CancellationToken stop)
    {
        var root = Build(console);
        var result = CommandLineParser.Parse(root, [.. Spell(arguments)], s_plain);
        if (result.Action?.ClearsParseErrors != true && (FindUnknown(result) ?? CommandRules.FindFault(result)) is { } fault)
        {
            return (int)ReportUsage(result, fault, console);
        }
        // The library's own handlers are off: CommandRunner answers signals and exceptions, and keeps the JSON document complete.
        var configuration = new InvocationConfiguration
        {
            Output = console.Out,
            Error = console.Error,
            EnableDefaultExceptionHandler = false,
            ProcessTerminationTimeout = null,
        };
        return await result.InvokeAsync(configuration, stop).ConfigureAwait(false);
    }

    /// <summary>Translates what people type first, <c>help bench</c> and <c>version</c>, for the parser.</summary>
    private static IEnumerable<string> Spell(IReadOnlyList<string> arguments) => arguments.Count == 0 ? arguments
        : arguments[0] == "help" ? arguments.Skip(1).Append("--help")
        : arguments is ["version"] ? ["--version"]
        : arguments;

    private static ExitCode ReportUsage(ParseResult result, string fault, ToolConsole console)
    {
        var name = NameOf(result.CommandResult);
        console.Error.WriteLine($"{name}: {OneLine.Of(fault)} (see {name} --help)");
        return ExitCode.Usage;
    }

    /// <summary>
    /// The complaint about a word that the command does not know, with what may have been meant; null when all are known.
    /// </summary>
    private static string? FindUnknown(ParseResult result)
    {
        var command = result.CommandResult.Command;
        if ((FindOptionAsArgument(result) ?? (result.UnmatchedTokens is [var first, ..] ? first : null)) is not { } word)
        {
            return command.Action is null && command.Subcommands.Count > 0
                ? $"a command is needed: {string.Join(", ", command.Subcommands.Select(static below => below.Name))}" : null;
        }

        var isOption = word.StartsWith('-');
        if (!isOption && command.Subcommands.Count == 0)
        {
            return null;
        }

        var names = isOption
            ? command.Options.Where(static option => !option.Hidden).Select(static option => option.Name)
            : command.Subcommands.Select(static below => below.Name);
        var meant = NearestName.Of(word, names) is { } nearest ? $"did you mean '{nearest}'?"
            : isOption ? "there is no such option (a file of that name goes after --)"
            : $"there are {string.Join(", ", names)}";
        return $"unknown {(isOption ? "option" : "command")} '{word}': {meant}";
    }

    /// <summary>
    /// Finds an option that the command does not have. The parser takes it as the value of an argument, such as a file of that name, which
    /// is right only when -- stands before it.
    /// </summary>
    private static string? FindOptionAsArgument(ParseResult result) =>
        result.Tokens.Any(static token => token.Type == TokenType.DoubleDash) ? null
        : result.CommandResult.Children.OfType<ArgumentResult>().SelectMany(static argument => argument.Tokens)
            .Select(static token => token.Value).FirstOrDefault(static value => value.Length > 1 && value[0] == '-');

    private static string NameOf(CommandResult result) =>
        result.Parent is CommandResult parent ? $"{NameOf(parent)} {result.Command.Name}" : "dataplane";
}
