using System.CommandLine;
using System.CommandLine.Parsing;
using System.Net;
using DataPlane.Tool.CommandLine;

namespace DataPlane.Tool.Guard;

/// <summary>
/// The options that describe one VM, on the command line and as the keys of a section of the config file. Both are parsed, explained and
/// checked here.
/// </summary>
internal sealed class VmOptions
{
    private const int DefaultMaxUndecided = 16384;
    private const int MostUndecided = 1 << 20;

    // The main and the preempt channel. Multifd channels come on top.
    private const int LeastUndecided = 2;

    private readonly ToolOption<string?> _name =
        Options.Text("--name", "NAME", "name of the VM in views, metrics and messages (default: QEMU's address)");

    private readonly ToolOption<ChannelAddress?> _listen =
        Options.Address("--listen", "ADDR", "where the source connects: HOST:PORT, [v6]:PORT, :PORT or unix:PATH; port 0 takes a free one");

    private readonly ToolOption<ChannelAddress?> _qmp =
        Options.Address("--qmp", "ADDR",
            "monitor of the QEMU that waits with -incoming defer, a socket of the guard's own; tells everything else");

    private readonly ToolOption<ChannelAddress?> _to =
        Options.Address("--to", "ADDR", "where QEMU listens already, when there is no monitor to ask");

    private readonly ToolOption<ChannelAddress?> _incoming =
        Options.Address("--incoming", "ADDR",
            "where QEMU is told to listen; with --qmp (default: a socket beside QMP's, a free port of 127.0.0.1 when that is TCP)");

    private readonly ToolOption<int?> _channels =
        Options.Number("--channels", "multifd channels, 0 = none; with --to", 0, SharedOptions.MaxChannels);

    private readonly ToolOption<bool> _preempt = Options.Flag("--preempt", "the migration has a preempt channel; with --to");

    private readonly ToolOption<Guid?> _uuid = new("--uuid", "", uuid => uuid?.ToString())
    {
        Description = "UUID that multifd channels must carry (default: QEMU's with --qmp, else the first one seen counts)",
        HelpName = "UUID",
        Arity = ArgumentArity.ExactlyOne,
        CustomParser = ParseUuid,
    };

    private readonly ToolOption<int?> _maxUndecided =
        Options.Number("--max-undecided", "most connections that are not known to be a channel yet", LeastUndecided, MostUndecided,
            DefaultMaxUndecided);

    private readonly ToolOption<int?> _maxUndecidedPerPeer =
        Options.Number("--max-undecided-per-peer", "the same for one address (default: no less)", LeastUndecided, MostUndecided);

    private readonly ToolOption<Duration?> _undecidedTimeout =
        SharedOptions.UndecidedTimeout();

    private readonly ToolOption<IPNetwork[]> _allow = NetworkOptions.Allow();

    private readonly ToolOption<bool> _anyPeer =
        Options.Flag("--any-peer", "the preempt channel may come from another address than the main channel");

    private readonly VmTlsOptions _tls = new();

    /// <summary>Adds the options; <paramref name="isNeeded"/> tells whether this call has to describe a VM.</summary>
    public static VmOptions AddTo(Command command, Func<CommandResult, bool> isNeeded)
    {
        var options = new VmOptions();
        foreach (var option in (ReadOnlySpan<Option>)
            [options._listen, options._qmp, options._to, options._incoming, options._name, options._channels, options._preempt,
                options._uuid, options._maxUndecided, options._maxUndecidedPerPeer, options._undecidedTimeout, options._allow,
                    options._anyPeer, .. options._tls.All])
        {
            command.Options.Add(option);
        }

        command.Validators.Add(result =>
        {
            try
            {
                if (options.FindFault(result, isNeeded(result)) is { } fault)
                {
                    result.AddError(fault);
                }
            }
            catch (InvalidOperationException)
            {
                // A value that cannot be read cannot be checked here; its own option complains about it.
            }
        });
        return options;
    }

    /// <summary>Reads the VM that the arguments describe. They must have been validated.</summary>
    public VmSettings Read(ParseResult arguments)
    {
        var qmp = arguments.GetValue(_qmp);
        var to = arguments.GetValue(_to);
        var maxUndecided = arguments.GetValue(_maxUndecided)!.Value;
        return new VmSettings
        {
            Name = arguments.GetValue(_name) ?? (qmp ?? to)!.ToString(),
            Listen = arguments.GetValue(_listen)!,
            Qmp = qmp,
            Incoming = arguments.GetValue(_incoming),
            To = to,
            Channels = arguments.GetValue(_channels) ?? 0,
            Preempt = arguments.GetValue(_preempt),
            Uuid = arguments.GetValue(_uuid),
            MaxUndecided = maxUndecided,
            // One address can never hold more connections than all addresses together.
            MaxUndecidedPerPeer = Math.Min(arguments.GetValue(_maxUndecidedPerPeer) ?? maxUndecided, maxUndecided),
            UndecidedTimeout = arguments.GetValue(_undecidedTimeout)!.Value.Value,
            Allow = arguments.GetValue(_allow)!,
            AnyPeer = arguments.GetValue(_anyPeer),
            Tls = _tls.Read(arguments),
        };
    }

    private string? FindFault(CommandResult result, bool isNeeded)
    {
        var hasListen = result.GetResult(_listen) is not null;
        var hasQmp = result.GetResult(_qmp) is not null;
        var hasTo = result.GetResult(_to) is not null;
        if (!isNeeded)
        {
            return hasListen || hasQmp || hasTo ? "--listen, --qmp and --to describe one VM, --config several: choose one way" : null;
        }

        if (!hasListen)
        {
            return "--listen is needed: where the source connects";
        }

        if (hasQmp == hasTo)
        {
            return hasQmp ? "--qmp and --to exclude each other" : "--qmp or --to is needed: the QEMU behind the guard";
        }

        if (hasQmp && (result.GetResult(_channels) is not null || result.GetValue(_preempt)))
        {
            return "--channels and --preempt go with --to: with --qmp QEMU tells them";
        }

        if (hasTo && result.GetResult(_incoming) is not null)
        {
            return "--incoming goes with --qmp: only a monitor can tell QEMU where to listen";
        }

        if (_tls.FindFault(result, hasQmp) is { } fault)
        {
            return fault;
        }

        var least = (result.GetValue(_channels) ?? 0) + LeastUndecided;
        if (result.GetValue(_maxUndecided) < least || result.GetValue(_maxUndecidedPerPeer) < least)
        {
            return $"--max-undecided, --max-undecided-per-peer: the migration's own {least} channels must fit";
        }

        return result.GetValue(_undecidedTimeout) is { Value.Ticks: <= 0 } ? "--undecided-timeout: must be more than zero" : null;
    }

    private static Guid? ParseUuid(ArgumentResult result)
    {
        if (Guid.TryParseExact(result.Tokens[0].Value, "D", out var uuid))
        {
            return uuid;
        }

        result.AddError($"--uuid: '{result.Tokens[0].Value}' is not a UUID; write 8-4-4-4-12 hexadecimal digits");
        return null;
    }
}
