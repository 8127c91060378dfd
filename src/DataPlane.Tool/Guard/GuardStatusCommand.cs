using System.CommandLine;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;

namespace DataPlane.Tool.Guard;

/// <summary><c>dataplane guard status</c>: shows what the guards on this machine are doing.</summary>
internal sealed class GuardStatusCommand
{
    // The cursor goes home and everything below is cleared, which does not flicker as it would to clear first.
    private const string Home = "\e[H\e[J";

    private readonly ToolOption<string?> _control =
        Options.Text("--control", "PATH", "control socket of the guard (default: every guard in the runtime folder)");

    private readonly ToolOption<bool> _watch = Options.Flag("--watch", "show it again every --interval until stopped");

    public static Command Create(ToolConsole console)
    {
        var status = new GuardStatusCommand();
        var command = new Command("status", "Show the VMs of running guards: channels, candidates, refusals.");
        command.Options.Add(status._control);
        command.Options.Add(status._watch);
        var output = OutputOptions.AddTo(command);
        command.Validators.Add(result =>
        {
            if (result.GetValue(status._watch)
                && (result.GetResult(output.Json) is not null || result.GetValue(output.JsonStream)))
            {
                result.AddError("--watch is for people: for JSON ask again");
            }
        });
        HelpWithExamples.SetExamples(
            command,
            new HelpExample("a live table of all guards of this user", "dataplane guard status --watch"),
            new HelpExample("as JSON", "dataplane guard status --json -"));
        command.SetBody<GuardStatusDocument>(
            console,
            output,
            (arguments, context, document) => status.RunAsync(arguments, console, context, document, output.Read(arguments).Interval),
            arguments => arguments.GetValue(status._watch) ? ExitCode.Done : ExitCode.Interrupted);
        return command;
    }

    private async Task<ExitCode> RunAsync(
        ParseResult arguments, ToolConsole console, CommandContext context, GuardStatusDocument document, TimeSpan interval)
    {
        var control = arguments.GetValue(_control);
        if (!arguments.GetValue(_watch))
        {
            await AskAsync(control, context, document).ConfigureAwait(false);
            StatusTable.Write(context.Results, document.Vms);
            return ExitCode.Done;
        }

        using var ticks = new PeriodicTimer(interval, context.Time);
        do
        {
            await AskAsync(control, context, document).ConfigureAwait(false);
            var table = new StringWriter();
            StatusTable.Write(table, document.Vms);
            if (console.OutIsTerminal)
            {
                await console.RawOut.WriteAsync(Home).ConfigureAwait(false);
            }

            await console.Out.WriteAsync(table.ToString()).ConfigureAwait(false);
            await console.Out.FlushAsync(context.Stop).ConfigureAwait(false);
        }
        while (await ticks.WaitForNextTickAsync(context.Stop).ConfigureAwait(false));
        return ExitCode.Done;
    }

    private static async Task AskAsync(string? control, CommandContext context, GuardStatusDocument document)
    {
        var paths = control is not null ? [Path.GetFullPath(control)]
            : ControlPaths.Find(ControlPaths.Guard, Environment.GetEnvironmentVariable);
        var guards = new List<GuardEntry>();
        var vms = new List<VmStatus>();
        foreach (var path in paths)
        {
            if (await TryAskAsync(path, control is not null, context).ConfigureAwait(false) is not { } answer)
            {
                continue;
            }

            guards.Add(new GuardEntry(path, answer.Pid, answer.DataplaneVersion));
            vms.AddRange(answer.Vms);
        }

        document.Guards = guards;
        document.Vms = vms;
        if (guards.Count == 0)
        {
            throw new CommandException(control is not null ? $"no guard answers at {control}" : "no guard of this user is running");
        }
    }

    private static async Task<ControlAnswer?> TryAskAsync(string path, bool isOnlyOne, CommandContext context)
    {
        try
        {
            return await ControlClient.AskAsync(path, context.Time, context.Stop).ConfigureAwait(false);
        }
        catch (CommandException exception) when (!isOnlyOne)
        {
            // A guard that is stuck, or that this user may not ask, must not hide the others.
            context.Warn(exception.Message);
            return null;
        }
    }
}
