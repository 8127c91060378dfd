using System.CommandLine;
using System.CommandLine.Parsing;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Serve;

namespace DataPlane.Tool.Bench;

/// <summary>The options of <c>bench --postcopy</c>, and the check for options that cannot be combined with them.</summary>
internal sealed class BenchPostcopyOptions
{
    private readonly ToolOption<bool> _postcopy = SharedOptions.Postcopy(
        "move it by postcopy too: the guest runs at the destination at once, its memory follows, and it checks every page that it "
        + "touches; the destination needs userfaultfd: root, or vm.unprivileged_userfaultfd=1, or access to /dev/userfaultfd");

    private readonly ToolOption<bool> _preempt = SharedOptions.Preempt();

    private readonly ToolOption<ByteRate?> _touchRate = Options.Rate(
        "--touch-rate", "with --postcopy: memory that the guest touches per second at the destination, at random",
        new ByteRate(100L << 20));

    private readonly ToolOption<int?> _touchThreads = Options.Number(
        "--touch-threads", "with --postcopy: threads of the guest that touch it", 1, PostcopyRequest.MaxThreads, 2);

    private BenchPostcopyOptions()
    {
    }

    /// <param name="command">The command that gets the options.</param>
    /// <param name="excluded">Options that cannot be combined with postcopy, each with the reason.</param>
    public static BenchPostcopyOptions AddTo(Command command, params (Option Option, string Why)[] excluded)
    {
        var options = new BenchPostcopyOptions();
        foreach (var option in (ReadOnlySpan<Option>)[options._postcopy, options._preempt, options._touchRate, options._touchThreads])
        {
            command.Options.Add(option);
        }

        command.Validators.Add(result => options.Validate(result, excluded));
        return options;
    }

    public BenchRequest Read(ParseResult arguments, BenchRequest request) => request with
    {
        Postcopy = arguments.GetValue(_postcopy),
        Preempt = arguments.GetValue(_preempt),
        TouchBytesPerSecond = arguments.GetValue(_touchRate)!.Value.BytesPerSecond,
        TouchThreads = arguments.GetValue(_touchThreads)!.Value,
    };

    private void Validate(CommandResult result, (Option Option, string Why)[] excluded)
    {
        if (!result.GetValue(_postcopy))
        {
            foreach (var option in (ReadOnlySpan<Option>)[_preempt, _touchRate, _touchThreads])
            {
                if (IsGiven(result, option))
                {
                    result.AddError($"{option.Name}: needs --postcopy");
                }
            }

            return;
        }

        if (result.GetValue(_touchRate) is { BytesPerSecond: <= 0 })
        {
            result.AddError("--touch-rate: must be more than zero");
        }

        foreach ((var option, var why) in excluded)
        {
            if (IsGiven(result, option))
            {
                result.AddError($"{option.Name}: not with --postcopy, {why}");
            }
        }
    }

    private static bool IsGiven(CommandResult result, Option option) => result.GetResult(option) is { Implicit: false };
}
