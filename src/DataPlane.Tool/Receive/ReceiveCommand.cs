using System.CommandLine;
using System.Net;
using DataPlane.Images;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Postcopy;
using DataPlane.Tool.SavedVms;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Receive;

/// <summary>
/// <c>dataplane receive</c>: the destination of a real QEMU, or of another source of its protocol; the VM becomes a file.
/// </summary>
internal sealed class ReceiveCommand
{
    private readonly ToolOption<ChannelAddress?> _listen = SharedOptions.Listen();
    private readonly ToolOption<int?> _channels = SharedOptions.Channels(0);
    private readonly ToolOption<Choice<CompressionMethod>?> _compression = CompressionOptions.Demanded();
    private readonly ToolOption<bool> _postcopy = SharedOptions.Postcopy(
        "the source may switch to postcopy: its guest then stands still, and what is missing is fetched as fast as it comes");
    private readonly ToolOption<bool> _preempt = SharedOptions.Preempt();
    private readonly ToolOption<string?> _out = Options.Text(
        "--out", "FILE", "the VM in QEMU's mapped-ram format; replaced when the VM is complete", required: true);
    private readonly ToolOption<Version?> _peer = SharedOptions.Peer();
    private readonly ToolOption<string?> _machine = SharedOptions.Machine();
    private readonly ToolOption<Guid?> _uuid = SharedOptions.ExpectedUuid();
    private readonly ToolOption<ByteSize?> _maxRam = SharedOptions.MaxRam(
        "most memory that the source may announce (default: what is free on the disk of --out)");
    private readonly ToolOption<IPNetwork[]> _allow = NetworkOptions.Allow();
    private readonly ToolOption<Duration?> _undecidedTimeout = SharedOptions.UndecidedTimeout();
    private readonly ToolOption<Duration?> _timeout = SharedOptions.Timeout();
    private TlsOptions _tls = null!;
    private RecoveryOptions _recovery = null!;

    public static Command Create(ToolConsole console)
    {
        var receive = new ReceiveCommand();
        var command = new Command("receive",
            "Be the destination of a migration from QEMU and write the VM as a file that QEMU 9.0 and later load.");
        foreach (var option in (ReadOnlySpan<Option>)[receive._listen, receive._channels, receive._compression, receive._postcopy,
            receive._preempt, receive._out, receive._peer, receive._machine, receive._uuid, receive._maxRam, receive._allow,
            receive._undecidedTimeout, receive._timeout])
        {
            command.Options.Add(option);
        }

        receive._recovery = RecoveryOptions.AddTo(command, receive._postcopy);
        receive._tls = TlsOptions.AddServerTo(command);
        command.Validators.Add(receive.CheckPreempt);
        command.Validators.Add(receive.CheckCompression);
        command.Validators.Add(receive.CheckMachine);
        command.Validators.Add(receive.CheckUndecidedTimeout);
        var output = OutputOptions.AddTo(command);
        HelpWithExamples.SetExamples(
            command,
            new HelpExample("a VM without multifd: then 'migrate tcp:HOST:4444' on QEMU's monitor",
                "dataplane receive --listen :4444 --out vm.mapped-ram"),
            new HelpExample("a VM that writes faster than the network: 'migrate_start_postcopy' on QEMU's monitor ends the chase",
                "dataplane receive --listen :4444 --postcopy --preempt --out vm.mapped-ram"));
        command.SetBody<ReceiveDocument>(console, output, receive.RunAsync);
        return command;
    }

    private void CheckPreempt(System.CommandLine.Parsing.CommandResult result)
    {
        if (result.GetValue(_preempt) && !result.GetValue(_postcopy))
        {
            result.AddError("--preempt: needs --postcopy");
        }
    }

    private void CheckCompression(System.CommandLine.Parsing.CommandResult result)
    {
        if (result.GetValue(_compression) is { Value: not CompressionMethod.None } && result.GetValue(_channels) == 0)
        {
            result.AddError("--compression: only pages on multifd channels are compressed; see --channels");
        }
    }

    private void CheckUndecidedTimeout(System.CommandLine.Parsing.CommandResult result)
    {
        if (result.GetValue(_undecidedTimeout) is { Value.Ticks: <= 0 })
        {
            result.AddError("--undecided-timeout: must be more than zero");
        }
    }

    private void CheckMachine(System.CommandLine.Parsing.CommandResult result)
    {
        if (result.GetValue(_machine) is { } machine && !QemuCompatibility.Of(machine, told: null).HasKnownSync)
        {
            result.AddError($"--machine: '{machine}' carries no QEMU version; name one that does, such as pc-q35-9.2");
        }
    }

    private async Task<ExitCode> RunAsync(ParseResult arguments, CommandContext context, ReceiveDocument document)
    {
        var path = Path.GetFullPath(arguments.GetValue(_out)!);
        DescriptorFloor.Require(arguments.GetValue(_channels)!.Value);
        Prepare(path, context);
        using var tls = _tls.Load(arguments, context);
        var options = new MigrationDestinationOptions
        {
            MultifdChannels = arguments.GetValue(_channels)!.Value,
            Compression = arguments.GetValue(_compression)?.Value,
            Postcopy = arguments.GetValue(_postcopy),
            Preempt = arguments.GetValue(_preempt),
            Uuid = arguments.GetValue(_uuid),
            SourceQemuVersion = arguments.GetValue(_peer),
            SourceMachineType = arguments.GetValue(_machine),
            MaxRamBytes = arguments.GetValue(_maxRam)?.Bytes ?? DiskSpace.FreeFor(path),
            KeepsWaiting = true,
            Allow = arguments.GetValue(_allow)!,
            UndecidedTimeout = arguments.GetValue(_undecidedTimeout)!.Value.Value,
            StallTimeout = arguments.GetValue(_timeout)?.Value,
            Tls = tls,
        };
        using var guest = new MappedRamGuest(path);
        using var notes = new RefusalNotes(context);
        var destination = new MigrationDestination(
            [arguments.GetValue(_listen)!], guest, options, context.Logs.CreateLogger<MigrationDestination>());
        await using (destination.ConfigureAwait(false))
        {
            destination.Refusal += (_, refusal) => notes.Take(refusal);
            document.Listen = destination.LocalAddresses[0].ToString();
            var postcopy = options.Postcopy
                ? new ReceivePostcopy(destination, path, _recovery.Control(arguments), _recovery.Timeout(arguments), context) : null;
            document.Control = postcopy?.Path;
            // A source that has handed its guest over can only go on with the process that fetches the memory.
            using var lasting = options.Postcopy ? HangUps.Survive() : null;
            context.AnnounceListening(document.Listen);
            var report = await ReceiveAsync(destination, guest, postcopy, context, document).ConfigureAwait(false);
            document.File = path;
            document.Guest = GuestPlace.Here;
            ReceiveReport.Fill(document, report, guest);
            if (options.Uuid is not null && report.Uuid is null)
            {
                context.Warn("the source has not said which VM it sends, so --uuid was not compared "
                    + "(a source says it with capability validate-uuid, or on multifd channels)");
            }

            if (report.SourceStaysConnected)
            {
                document.Guest = GuestPlace.Unknown;
                throw new CommandException(
                    $"outcome unknown: {path} is complete and the source was told, but it has not closed its connection within "
                    + $"{options.CloseTimeout.TotalSeconds:0.###} s; it may replicate its guest (capability x-colo, state colo in "
                    + $"query-migrate) and run it again: look there before you use {path}",
                    ExitCode.CannotTell);
            }
        }

        ReceiveReport.Write(context.Results, document);
        return ExitCode.Done;
    }

    /// <summary>Finds out all that can be known of the file before anybody is told to connect.</summary>
    private static void Prepare(string path, CommandContext context)
    {
        try
        {
            if (!MappedRamGuest.Prepare(path))
            {
                context.Warn($"the file system of '{Path.GetDirectoryName(path)}' cannot reserve space: "
                    + "zeros are written for the VM's whole memory before its first page is taken");
            }
        }
        catch (IOException refused)
        {
            throw new CommandException($"--out {path}: {refused.Message}", innerException: refused);
        }
    }

    private static async Task<MigrationReport> ReceiveAsync(
        MigrationDestination destination, MappedRamGuest guest, ReceivePostcopy? postcopy, CommandContext context,
        ReceiveDocument document)
    {
        try
        {
            var progress = new ReceiveProgress(context.Progress, guest, postcopy?.Controlled);
            return await destination.ReceiveAsync(progress, context.Stop).ConfigureAwait(false);
        }
        catch (Exception failure) when (postcopy?.StrandedBy(failure) is { } stranded)
        {
            document.GuestReturned = await stranded.ReturnGuestAsync(failure).ConfigureAwait(false);
            throw new CommandException(
                $"{failure.Message}; {(document.GuestReturned.Value ? "its source has its guest back" : "its source has not come again")}",
                innerException: failure);
        }
        catch (MigrationException failure)
        {
            document.Guest = PlaceOf(failure.Owner);
            throw Describe(failure, postcopy);
        }
        finally
        {
            if (postcopy is not null)
            {
                await postcopy.DisposeAsync().ConfigureAwait(false);
            }

            document.Refused = destination.Refused.Where(static entry => entry.Value > 0)
                .ToDictionary(static entry => SavedVmReport.SnakeCase(entry.Key.ToString()), static entry => entry.Value);
        }
    }

    private static GuestPlace PlaceOf(GuestOwner owner) => owner switch
    {
        GuestOwner.Source => GuestPlace.AtSource,
        GuestOwner.Destination => GuestPlace.Here,
        _ => GuestPlace.Unknown,
    };

    private static CommandException Describe(MigrationException failure, ReceivePostcopy? postcopy) => failure switch
    {
        { Reason: FailureReason.OutcomeUnknown } => new CommandException(
            $"outcome unknown: {failure.Message}; look at the source before you use the file", ExitCode.CannotTell, failure),
        { Reason: FailureReason.LimitExceeded } => new CommandException(
            $"{failure.Message}; see --max-ram, which is the free space on the disk of --out by default", innerException: failure),
        _ when postcopy is { HasGivenUp: true } => new CommandException(
            $"the source did not come again in time (--recovery-timeout): {failure.Message}", innerException: failure),
        _ => new CommandException(failure.Message, innerException: failure),
    };
}
