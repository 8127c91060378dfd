using System.CommandLine;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Postcopy;

/// <summary><c>dataplane postcopy</c>: looks at, pauses and resumes running migrations of <c>send</c> and <c>receive</c>.</summary>
internal sealed class PostcopyCommand
{
    private readonly string _verb;
    private readonly ToolOption<string?> _control = Options.Text(
        "--control", "PATH", "control socket of the migration (default: the runtime folder tells; needed where it has several)");

    private readonly Argument<ChannelAddress?> _address = Options.AddressArgument(
        "ADDR", "where the destination waits now (default: where it was)");

    private PostcopyCommand(string verb) => _verb = verb;

    public static Command Create(ToolConsole console)
    {
        var command = new Command("postcopy", "Look at, pause and resume a 'send --postcopy' or 'receive --postcopy' that is running.");
        HelpWithExamples.SetExamples(
            command,
            new HelpExample("what is running, and how it is", "dataplane postcopy status"),
            new HelpExample("a paused source goes on, to where the destination was", "dataplane postcopy resume"));
        command.Subcommands.Add(Create(console, PostcopyQuestion.Pause, "Give the link up, as if it were lost: both sides wait.",
            new("the only one that is running", "dataplane postcopy pause"),
            new("one of several", "dataplane postcopy pause --control /run/vm1.sock")));
        command.Subcommands.Add(Create(console, PostcopyQuestion.Resume,
            "Connect a paused source again, to where the destination listens now, and wait until pages flow.",
            new("to where the destination was", "dataplane postcopy resume"),
            new("one of several, to another address", "dataplane postcopy resume 127.0.0.1:4445 --control /run/vm1.sock")));
        command.Subcommands.Add(Create(console, PostcopyQuestion.Status, "Show the migrations that are running and may be in postcopy.",
            new("all of this user", "dataplane postcopy status"),
            new("as JSON", "dataplane postcopy status --json -")));
        return command;
    }

    private static Command Create(ToolConsole console, string verb, string description, params HelpExample[] examples)
    {
        var postcopy = new PostcopyCommand(verb);
        var command = new Command(verb, description);
        if (verb == PostcopyQuestion.Resume)
        {
            postcopy._address.Arity = ArgumentArity.ZeroOrOne;
            command.Arguments.Add(postcopy._address);
        }

        command.Options.Add(postcopy._control);
        var output = OutputOptions.AddTo(command);
        HelpWithExamples.SetExamples(command, examples);
        command.SetBody<PostcopyDocument>(console, output, postcopy.RunAsync);
        return command;
    }

    private async Task<ExitCode> RunAsync(ParseResult arguments, CommandContext context, PostcopyDocument document)
    {
        var client = new PostcopyClient(context);
        var control = arguments.GetValue(_control);
        if (_verb == PostcopyQuestion.Status)
        {
            document.Migrations = await client.FindAsync(control).ConfigureAwait(false);
            PostcopyTable.Write(context.Results, document.Migrations);
            return ExitCode.Done;
        }

        var one = await client.FindOneAsync(control, IsMeant).ConfigureAwait(false);
        document.Migrations = [one];
        var question = new PostcopyQuestion
        {
            Command = _verb,
            Address = _verb == PostcopyQuestion.Resume ? arguments.GetValue(_address)?.ToString() : null,
        };
        var answer = await client.AskAsync(one.Control, question).ConfigureAwait(false)
            ?? throw new CommandException($"{one.Control}: the command has ended");
        document.Migrations = [answer.Migration];
        if (answer.Error is { } error)
        {
            throw new CommandException(OneLine.Of(error));
        }

        PostcopyTable.Write(context.Results, document.Migrations);
        return ExitCode.Done;
    }

    private bool IsMeant(PostcopyStatus migration) => _verb == PostcopyQuestion.Pause
        ? migration.State == PostcopyStates.Postcopy
        : migration.Command == "send" && migration.State == PostcopyStates.Paused;
}
