using System.CommandLine;
using System.Net;
using DataPlane.Images;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Postcopy;
using DataPlane.Tool.SavedVms;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Send;

/// <summary><c>dataplane send</c>: the source of a saved VM, towards a waiting QEMU of any generation, or towards <c>receive</c>.</summary>
internal sealed class SendCommand
{
    private static readonly TimeSpan s_longestConnect = TimeSpan.FromDays(1);

    private readonly Argument<string> _file = SharedOptions.SavedVm();
    private readonly Argument<ChannelAddress?> _to = Options.AddressArgument("ADDR",
        "where the destination waits: HOST:PORT, [v6]:PORT, :PORT or unix:PATH");
    private readonly ToolOption<int?> _channels = SharedOptions.Channels(0);
    private readonly CompressionOptions _compression = new();
    private readonly ToolOption<Version?> _peer = SharedOptions.Peer();
    private readonly ToolOption<string?> _machine = SharedOptions.Machine();
    private readonly ToolOption<Guid?> _uuid = SharedOptions.Uuid();
    private readonly ToolOption<bool> _postcopy =
        SharedOptions.Postcopy("instant restore: the guest starts at once and its memory follows; the other side must expect postcopy");
    private readonly ToolOption<bool> _preempt = SharedOptions.Preempt();
    private readonly ToolOption<ByteRate?> _maxBandwidth = SharedOptions.MaxBandwidth();
    private readonly ToolOption<string[]> _bind = SharedOptions.Bind();
    private readonly ToolOption<Duration?> _timeout =
        Options.Time("--timeout",
            "give up after this long without progress (default: 30 s to connect, 60 s once the guest stands still, 2 minutes in between)");

    private TlsOptions _tls = null!;
    private RecoveryOptions _recovery = null!;
    private DestinationOptions _destination = null!;

    public static Command Create(ToolConsole console)
    {
        var send = new SendCommand();
        var command = new Command("send", "Be the source of a migration: send a saved VM to a waiting QEMU, where it runs on.");
        command.Arguments.Add(send._file);
        command.Arguments.Add(send._to);
        foreach (var option in (ReadOnlySpan<Option>)
            [send._channels, send._peer, send._machine, send._uuid, send._postcopy, send._preempt, send._maxBandwidth, send._bind,
            send._timeout])
        {
            command.Options.Add(option);
        }

        send._recovery = RecoveryOptions.AddTo(command, send._postcopy);
        send._destination = DestinationOptions.AddTo(command, send._postcopy);
        send._tls = TlsOptions.AddClientTo(command);
        send._compression.AddOptionsTo(command);
        command.Validators.Add(send.Validate);
        var output = OutputOptions.AddTo(command);
        HelpWithExamples.SetExamples(
            command,
            new HelpExample("to a QEMU that waits with '-incoming tcp:0:4444' and the same machine type and devices",
                "dataplane send vm.mapped-ram 127.0.0.1:4444"),
            new HelpExample("to one that also has its capability postcopy-ram on: the guest runs there at once",
                "dataplane send vm.mapped-ram 127.0.0.1:4444 --postcopy"));
        command.SetBody<SendDocument>(console, output, send.RunAsync);
        return command;
    }

    private void Validate(System.CommandLine.Parsing.CommandResult result)
    {
        if (result.GetValue(_timeout) is { Value.Ticks: <= 0 })
        {
            result.AddError("--timeout: must be more than zero");
        }

        if (result.GetValue(_maxBandwidth) is { BytesPerSecond: <= 0 })
        {
            result.AddError("--max-bandwidth: must be more than zero");
        }

        if (result.GetValue(_preempt) && !result.GetValue(_postcopy))
        {
            result.AddError("--preempt: needs --postcopy");
        }

        if (result.GetValue(_postcopy) && result.GetValue(_channels) > 0)
        {
            result.AddError("--channels: with --postcopy no page goes over multifd channels; the other side must expect none");
        }

        if (result.GetValue(_machine) is { } machine && !QemuCompatibility.Of(machine, told: null).HasKnownSync)
        {
            result.AddError($"--machine: '{machine}' carries no QEMU version; name one that does, such as pc-q35-9.2");
        }
    }

    private async Task<ExitCode> RunAsync(ParseResult arguments, CommandContext context, SendDocument document)
    {
        var path = Path.GetFullPath(arguments.GetValue(_file)!);
        DescriptorFloor.Require(arguments.GetValue(_channels)!.Value);
        var destination = arguments.GetValue(_to)!;
        document.File = path;
        document.Destination = destination.ToString();
        using var guest = Open(path, arguments.GetValue(_uuid));
        SendReport.Fill(document, guest);
        using var tls = _tls.Load(arguments, context);
        var options = await _destination.ApplyAsync(
            arguments, OptionsFor(arguments, context, guest) with { Tls = tls, TlsHostName = _tls.HostName(arguments) }, guest, context)
                .ConfigureAwait(false);
        var source = new MigrationSource(guest, options, context.Logs.CreateLogger<MigrationSource>());
        var (migration, control) = options.Postcopy
            ? SendPostcopy.Open(source, path, destination, _recovery.Control(arguments), context) : (null, null);
        document.Control = control?.Path;
        // The guest runs elsewhere before its memory is there: a closed terminal must not take the rest of it away.
        using var lasting = options.Postcopy ? HangUps.Survive() : null;
        var progress = new SendProgress(context.Progress, guest.Memory.TotalBytes, migration);
        try
        {
            var report = await source.MigrateAsync(destination, progress, context.Stop).ConfigureAwait(false);
            SendReport.Fill(document, report, guest);
        }
        catch (MigrationException failure) when (failure.Owner == GuestOwner.Unknown)
        {
            document.Guest = GuestPlace.Unknown;
            throw new CommandException(
                $"outcome unknown: {failure.Message}; look there before you use {path} again", ExitCode.CannotTell, failure);
        }
        catch (MigrationException failure) when (failure.Owner == GuestOwner.Destination)
        {
            document.Guest = GuestPlace.AtDestination;
            // After a Ctrl-C in a pause nothing else reports the failure.
            if (context.Stop.IsCancellationRequested)
            {
                context.Warn(failure.Message);
            }

            throw new CommandException(failure.Message, innerException: failure);
        }
        catch (MigrationException failure)
        {
            var hint = failure.Reason == FailureReason.PeerRefused && !_destination.HasMonitor(arguments)
                ? "; with --qmp ADDR its monitor is asked beforehand" : "";
            throw new CommandException(failure.Message + hint, innerException: failure);
        }
        finally
        {
            if (control is not null)
            {
                await control.DisposeAsync().ConfigureAwait(false);
            }
        }

        SendReport.Write(context.Results, document);
        return ExitCode.Done;
    }

    private static MappedRamSource Open(string path, Guid? uuid)
    {
        try
        {
            return MappedRamSource.Open(path, uuid);
        }
        catch (InvalidDataException damaged)
        {
            throw new CommandException(damaged.Message, innerException: damaged);
        }
    }

    private MigrationSourceOptions OptionsFor(ParseResult arguments, CommandContext context, MappedRamSource guest)
    {
        var peer = arguments.GetValue(_peer);
        var machine = arguments.GetValue(_machine);
        var channels = arguments.GetValue(_channels)!.Value;
        // Only multifd channels have two ways to synchronise.
        if (channels > 0 && machine is null && !QemuCompatibility.Of(guest.MachineName, peer).HasKnownSync)
        {
            throw new CommandException(
                $"machine type '{guest.MachineName}' carries no QEMU version, so it does not tell how the destination synchronises multifd "
                + "channels: say --machine NAME, the QEMU machine type as which it behaves (such as pc-q35-9.2)");
        }

        if (machine is null && peer is not null && MachineType.Parse(guest.MachineName).Version is { } version && peer < version)
        {
            throw new CommandException(
                $"QEMU {peer} has no machine type '{guest.MachineName}'; --peer is the version of the destination's QEMU");
        }

        if (machine is not null && MachineType.Parse(guest.MachineName).Version is { } own && own != MachineType.Parse(machine).Version)
        {
            context.Warn(
                $"--machine {machine} overrides what '{guest.MachineName}' says; "
                + "a destination that synchronises multifd in another way hangs");
        }

        var timeout = arguments.GetValue(_timeout)?.Value;
        var compression = _compression.Read(arguments, channels);
        var defaults = new MigrationSourceOptions();
        return defaults with
        {
            MultifdChannels = channels,
            Compression = compression.Method,
            CompressionLevel = compression.Level,
            DestinationQemuVersion = peer,
            DestinationMachineType = machine,
            Postcopy = arguments.GetValue(_postcopy),
            Preempt = arguments.GetValue(_preempt),
            RecoveryTimeout = _recovery.Timeout(arguments),
            MaxPostcopyBytesPerSecond = arguments.GetValue(_maxBandwidth)?.BytesPerSecond,
            MaxBytesPerSecond = arguments.GetValue(_maxBandwidth)?.BytesPerSecond,
            StallTimeout = timeout,
            CommitTimeout = timeout ?? defaults.CommitTimeout,
            Sockets = defaults.Sockets with
            {
                ConnectTimeout = timeout is null ? defaults.Sockets.ConnectTimeout
                    : timeout < s_longestConnect ? timeout.Value
                    : s_longestConnect,
                LocalAddresses = [.. arguments.GetValue(_bind)!.Select(IPAddress.Parse)],
            },
        };
    }
}
