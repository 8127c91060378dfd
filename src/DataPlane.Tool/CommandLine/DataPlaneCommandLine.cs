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
    public static RootCommand Build(ToolConsole console)
    {
        var root = new RootCommand("The socket data plane of live migration: move, measure and keep running VMs, compatible with QEMU.");
        foreach (Option option in root.Options)
        {
            if (option is HelpOption help)
                help.Action = new HelpWithExamples();
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
        return root;
    }

    /// <summary>Parses and runs one command line. Every ending is an exit code; no exception leaves it.</summary>
    public static async Task<int> RunAsync(IReadOnlyList<string> arguments, ToolConsole console, CancellationToken stop)
    {
        RootCommand root = Build(console);
        ParseResult result = CommandLineParser.Parse(root, arguments);
        if (result.Errors.Count > 0 && result.Action?.ClearsParseErrors != true)
            return (int)ReportUsage(result, console);
        // No handler of the library's own: signals and exceptions are answered by CommandRunner, which keeps the JSON document complete.
        var configuration = new InvocationConfiguration
        {
            Output = console.Out,
            Error = console.Error,
            EnableDefaultExceptionHandler = false,
            ProcessTerminationTimeout = null,
        };
        return await result.InvokeAsync(configuration, stop).ConfigureAwait(false);
    }

    private static ExitCode ReportUsage(ParseResult result, ToolConsole console)
    {
        string name = NameOf(result.CommandResult);
        string problem = OneLine.Of(result.Errors[0].Message);
        console.Error.WriteLine($"{name}: {problem} (see {name} --help)");
        return ExitCode.Usage;
    }

    private static string NameOf(CommandResult result) =>
        result.Parent is CommandResult parent ? $"{NameOf(parent)} {result.Command.Name}" : "dataplane";
}
