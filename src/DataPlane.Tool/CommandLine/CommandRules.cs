using System.CommandLine;
using System.CommandLine.Parsing;
using System.Runtime.CompilerServices;

namespace DataPlane.Tool.CommandLine;

/// <summary>
/// The rules of commands for their options together. The parser would run them before it has converted the values, and a rule that asks for
/// a value which cannot be converted throws. So they are taken out of the parser, and run when every value is known to be good.
/// </summary>
internal static class CommandRules
{
    private static readonly ConditionalWeakTable<Command, Action<CommandResult>[]> s_rules = [];

    /// <summary>Takes the validators of a command and of all commands below it out of the parser.</summary>
    public static void HoldBack(Command command)
    {
        s_rules.AddOrUpdate(command, [.. command.Validators]);
        command.Validators.Clear();
        foreach (var below in command.Subcommands)
        {
            HoldBack(below);
        }
    }

    /// <summary>The first thing that is wrong with a command line; null when nothing is.</summary>
    public static string? FindFault(ParseResult result)
    {
        if (result.Errors.Count > 0)
        {
            return result.Errors[0].Message;
        }

        var called = result.CommandResult;
        if (!s_rules.TryGetValue(called.Command, out var rules))
        {
            return null;
        }

        foreach (var rule in rules)
        {
            rule(called);
            if (called.Errors.FirstOrDefault() is { } fault)
            {
                return fault.Message;
            }
        }

        return null;
    }
}
