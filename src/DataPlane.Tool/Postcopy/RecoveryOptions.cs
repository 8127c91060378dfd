using System.CommandLine;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Postcopy;

/// <summary>The options of a command whose migration may lose its link in postcopy and get another one.</summary>
internal sealed class RecoveryOptions
{
    /// <summary>As good as no limit, and still short enough for a timer.</summary>
    private static readonly TimeSpan s_forEver = TimeSpan.FromDays(49);

    private readonly ToolOption<string?> _control = Options.Text(
        "--control", "PATH", "with --postcopy: where 'dataplane postcopy' finds this command (default: in the runtime folder)");

    private readonly ToolOption<Duration?> _timeout = Options.Time(
        "--recovery-timeout", "with --postcopy: give up when a lost link is not replaced within this time, 0 = at once (default: never)");

    private RecoveryOptions()
    {
    }

    public static RecoveryOptions AddTo(Command command, ToolOption<bool> postcopy)
    {
        var options = new RecoveryOptions();
        command.Options.Add(options._control);
        command.Options.Add(options._timeout);
        command.Validators.Add(result =>
        {
            if (result.GetValue(postcopy))
            {
                return;
            }

            if (result.GetValue(options._control) is not null)
            {
                result.AddError("--control: needs --postcopy");
            }

            if (result.GetValue(options._timeout) is not null)
            {
                result.AddError("--recovery-timeout: needs --postcopy");
            }
        });
        return options;
    }

    /// <summary>The path that was given for the control socket; null for the command's own path.</summary>
    public string? Control(ParseResult arguments) => arguments.GetValue(_control);

    /// <summary>How long a pause may last.</summary>
    public TimeSpan Timeout(ParseResult arguments) =>
        arguments.GetValue(_timeout)?.Value is { } limit && limit < s_forEver ? limit : s_forEver;
}
