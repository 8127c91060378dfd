using System.CommandLine;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using DataPlane.Tool.Serve;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Bench;

/// <summary><c>dataplane bench</c>: migrates a live guest to a destination, and measures the wire limit beside it.</summary>
internal sealed class BenchCommand
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(1);

    private readonly ToolOption<ChannelAddress?> _to = Options.Address(
        "--to", "HOST[:PORT]", "a 'dataplane serve' elsewhere (default: a destination process on this machine)", ServeSettings.DefaultPort);

    private readonly ToolOption<ByteSize?> _ram = Options.Size("--ram", "memory of the guest", new ByteSize(1L << 30));
    private readonly ToolOption<int?> _channels = SharedOptions.Channels(4);

    private readonly ToolOption<ByteRate?> _dirtyRate =
        Options.Rate("--dirty-rate", "memory that the guest writes per second, 0 = none", new ByteRate(100L << 20));

    private readonly ToolOption<ByteSize?> _dirtyWindow = Options.Size(
        "--dirty-window", "the guest writes within this much of its memory (default: all)");
    private readonly ToolOption<int?> _zeroPercent = Options.Number(
        "--zero-percent", "share of zero pages in the guest's memory", 0, 100, 0);
    private readonly ToolOption<string?> _memoryFile =
        Options.Text("--memory-file", "FILE", "fill the guest's memory with the bytes of this file, repeated (default: random bytes)");

    private readonly CompressionOptions _compression = new();
    private readonly ToolOption<Duration?> _maxDowntime = SharedOptions.MaxDowntime(TimeSpan.FromMilliseconds(300));
    private readonly ToolOption<int?> _runs = SharedOptions.Runs(7);
    private readonly ToolOption<ByteRate?> _maxBandwidth = SharedOptions.MaxBandwidth();
    private TlsOptions _tls = null!;
    private BenchPostcopyOptions _postcopy = null!;
    private readonly ToolOption<bool> _wireOnly = Options.Flag("--wire-only", "measure the wire limit alone; the guest is idle then");

    public static Command Create(ToolConsole console)
    {
        var bench = new BenchCommand();
        var command = new Command("bench", "Move a live guest to a destination and compare with what the wire can do.");
        foreach (var option in (ReadOnlySpan<Option>)
            [bench._to, bench._ram, bench._channels, bench._dirtyRate, bench._dirtyWindow, bench._zeroPercent, bench._memoryFile,
                bench._maxDowntime, bench._maxBandwidth, bench._runs, bench._wireOnly])
        {
            command.Options.Add(option);
        }

        bench._postcopy = BenchPostcopyOptions.AddTo(
            command,
            (bench._wireOnly, "which it is to be compared with"),
            (bench._memoryFile, "whose guest checks what it finds by the page's number"),
            (bench._compression.Method, "in which no page is compressed"));
        command.Validators.Add(result =>
        {
            if (result.GetValue(bench._maxBandwidth) is { BytesPerSecond: <= 0 })
            {
                result.AddError("--max-bandwidth: must be more than zero");
            }

            if (result.GetValue(bench._to) is { IsUnix: true } path)
            {
                result.AddError($"--to: '{path}' is a Unix socket; a serve listens on TCP: HOST[:PORT]");
            }
        });
        bench._tls = TlsOptions.AddClientTo(command);
        bench._compression.AddOptionsTo(command);
        var output = OutputOptions.AddTo(command);
        HelpWithExamples.SetExamples(
            command,
            new HelpExample("an idle guest of 1 GiB without zero pages, seven pairs of runs", "dataplane bench --dirty-rate 0"),
            new HelpExample("a busy guest by precopy and by postcopy, with a preempt channel, results as JSON",
                "dataplane bench --ram 512M --dirty-rate 200M --postcopy --preempt --runs 3 --json -"));
        command.SetBody<BenchDocument>(console, output, bench.RunAsync);
        return command;
    }

    private BenchRequest Read(ParseResult arguments)
    {
        var wireOnly = arguments.GetValue(_wireOnly);
        var guest = new WorkloadOptions
        {
            RamBytes = arguments.GetValue(_ram)!.Value.Bytes,
            ZeroPercent = arguments.GetValue(_zeroPercent)!.Value,
            DirtyBytesPerSecond = wireOnly ? 0 : arguments.GetValue(_dirtyRate)!.Value.BytesPerSecond,
            DirtyWindowBytes = arguments.GetValue(_dirtyWindow)?.Bytes,
            MemoryFile = arguments.GetValue(_memoryFile),
        };
        guest.Validate();
        var channels = arguments.GetValue(_channels)!.Value;
        var request = new BenchRequest
        {
            Destination = arguments.GetValue(_to),
            Guest = guest,
            Channels = channels,
            Compression = _compression.Read(arguments, channels),
            Runs = arguments.GetValue(_runs)!.Value,
            MaxDowntime = arguments.GetValue(_maxDowntime)!.Value.Value,
            WireOnly = wireOnly,
            MaxBytesPerSecond = arguments.GetValue(_maxBandwidth)?.BytesPerSecond,
            TlsHostName = _tls.HostName(arguments) ?? arguments.GetValue(_to)?.Host,
        };
        return _postcopy.Read(arguments, request);
    }

    private async Task<ExitCode> RunAsync(ParseResult arguments, CommandContext context, BenchDocument document)
    {
        DescriptorFloor.Require(arguments.GetValue(_channels)!.Value);
        using var tls = _tls.Load(arguments, context);
        var request = Read(arguments) with { Tls = tls };
        if (request.MaxBytesPerSecond <= request.Guest.DirtyBytesPerSecond)
        {
            context.Warn("the guest writes no slower than --max-bandwidth: by precopy it may never arrive");
        }

        var migration = request.WireOnly ? null : new MigrationLeg(request, context.Logs.CreateLogger<MigrationSource>());
        if (request.Destination is { } elsewhere)
        {
            await RunAsync(request, elsewhere, migration, context, document).ConfigureAwait(false);
            return ExitCode.Done;
        }

        if (request.Postcopy && PostcopyServeLeg.FindObstacle() is { } obstacle)
        {
            throw new CommandException($"--postcopy: {obstacle}");
        }

        var process =
            await DestinationProcess.StartAsync(request.Guest.RamBytes, _tls.ForServer(arguments), context.Note, context.Stop)
                .ConfigureAwait(false);
        await using (process.ConfigureAwait(false))
        {
            var own = await process.Address.ConfigureAwait(false);
            await RunAsync(request, own, migration, context, document).ConfigureAwait(false);
        }

        return ExitCode.Done;
    }

    private static async Task RunAsync(
        BenchRequest request, ChannelAddress address, MigrationLeg? migration, CommandContext context, BenchDocument document)
    {
        var session = await OpenAsync(request, address, context).ConfigureAwait(false);
        await using (session.ConfigureAwait(false))
        {
            await RunAsync(request, migration, session, context, document).ConfigureAwait(false);
        }
    }

    private static async Task<BenchSession> OpenAsync(BenchRequest request, ChannelAddress address, CommandContext context)
    {
        // A destination that answers at once is not worth a line.
        var waiting = context.Time.CreateTimer(
            _ => context.Progress.Report(new ProgressSample { Stage = $"waiting for a connection to {address}", IsWaiting = true }),
            null, s_patience, Timeout.InfiniteTimeSpan);
        await using (waiting.ConfigureAwait(false))
        {
            return await BenchSession.OpenAsync(
                address.Host, address.Port, request.Guest.RamBytes, request.Tls, request.TlsHostName, context.Time, context.Stop)
                    .ConfigureAwait(false);
        }
    }

    private static async Task RunAsync(
        BenchRequest request, MigrationLeg? migration, BenchSession session, CommandContext context, BenchDocument document)
    {
        if (request.Postcopy && session.Destination.PostcopyObstacle is { } obstacle)
        {
            throw new CommandException($"--postcopy: not at the destination: {OneLine.Of(obstacle)}");
        }

        document.DestinationHost = session.Destination.Host;
        document.DestinationVersion = session.Destination.DataplaneVersion;
        context.Progress.Report(
            new ProgressSample { Stage = $"filling {Human.Bytes(request.Guest.RamBytes)} of memory", IsWaiting = true });
        using var guest = new Workload(request.Guest, context.Time);
        NoteTracking(guest, request, context, document);
        var plan = new BenchPlan
        {
            Runs = request.Runs,
            Channels = request.Channels,
            GuestIsIdle = request.Guest.DirtyBytesPerSecond == 0,
            WireLegs = [new WireLeg(WireVariant.Partition, request.ChannelOptions),
                new WireLeg(WireVariant.Cursor, request.ChannelOptions)],
            Migration = migration,
            Postcopy = request.Postcopy ? new PostcopyLeg(request, context.Logs.CreateLogger<MigrationSource>()) : null,
        };
        try
        {
            await new BenchRunner(plan, session, guest, document, context).RunAsync().ConfigureAwait(false);
        }
        finally
        {
            // The runs that have ended are reported even after a Ctrl-C.
            if (document.Runs.Count > 0)
            {
                BenchReport.Write(context.Results, document, request, isInterrupted: context.Stop.IsCancellationRequested);
            }
        }
    }

    private static void NoteTracking(Workload guest, BenchRequest request, CommandContext context, BenchDocument document)
    {
        if (request.WireOnly)
        {
            return;
        }

        using var tracker = guest.CreateTracker(out var reason);
        document.DirtyTracking = tracker is PagemapDirtyTracker ? "pagemap" : "recorded";
        document.DirtyTrackingReason = reason;
        if (reason is not null)
        {
            context.Warn($"the kernel does not track writes for this user ({reason}); the guest's own record of what it wrote is used");
        }
    }
}
