using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using DataPlane.Tool.Bench;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Serve;

/// <summary><c>dataplane serve</c>: the destination of a <c>bench</c> on another machine.</summary>
internal sealed class ServeCommand
{
    private readonly ToolOption<ChannelAddress?> _listen = SharedOptions.Listen("HOST:PORT, [v6]:PORT or :PORT");
    private readonly ToolOption<ByteSize?> _maxRam = SharedOptions.MaxRam(
        "most memory that a session may have (default: half of the machine's)");

    private readonly ToolOption<Duration?> _idleTimeout = Options.Time(
        "--idle-timeout", "end the session of a client that says and sends nothing for this long, beside the time that its memory takes",
        new Duration(ServeSettings.DefaultIdleTimeout));

    private TlsOptions _tls = null!;
    private readonly ToolOption<bool> _untilEof = Options.Flag("--until-eof", "end when standard input does: for a parent process");

    public static Command Create(ToolConsole console)
    {
        var serve = new ServeCommand();
        serve._untilEof.Hidden = true;
        var command = new Command("serve",
            "Answer bench from other hosts, until stopped. Serves whoever can connect: use it on networks that are yours. "
            + "For bench --postcopy it needs userfaultfd: root, or vm.unprivileged_userfaultfd=1, or access to /dev/userfaultfd.");
        foreach (var option in (ReadOnlySpan<Option>)[serve._listen, serve._maxRam, serve._idleTimeout, serve._untilEof])
        {
            command.Options.Add(option);
        }

        command.Validators.Add(result =>
        {
            if (result.GetValue(serve._idleTimeout) is { Value.Ticks: <= 0 })
            {
                result.AddError("--idle-timeout: must be more than zero");
            }
        });
        serve._tls = TlsOptions.AddServerTo(command);
        var output = OutputOptions.AddTo(command);
        HelpWithExamples.SetExamples(
            command,
            new HelpExample("serve on every address at the port where bench looks first",
                $"dataplane serve --listen :{ServeSettings.DefaultPort}"),
            new HelpExample("on one address and a free port, at most 4 GiB", "dataplane serve --listen 127.0.0.1:0 --max-ram 4G"));
        command.SetBody<ServeDocument>(console, output, serve.RunAsync, static _ => ExitCode.Done);
        return command;
    }

    private async Task<ExitCode> RunAsync(ParseResult arguments, CommandContext context, ServeDocument document)
    {
        var address = await ResolveAsync(arguments.GetValue(_listen)!, Dns.GetHostAddressesAsync, context.Stop).ConfigureAwait(false);
        var channels = new ChannelOptions();
        using var tls = _tls.Load(arguments, context);
        IServeLeg[] legs =
        [
            new WireServeLeg(WireVariant.Partition, address.Address, channels),
            new WireServeLeg(WireVariant.Cursor, address.Address, channels),
            new MigrationServeLeg(address.Address, channels, tls, context.Logs.CreateLogger<MigrationDestination>()),
            new PostcopyServeLeg(address.Address, channels, tls, context.Logs.CreateLogger<MigrationDestination>(), context.Time),
        ];
        var settings = new ServeSettings
        {
            MaxRamBytes = arguments.GetValue(_maxRam)?.Bytes ?? HostFacts.Current.MemoryBytes / 2,
            IdleTimeout = arguments.GetValue(_idleTimeout)!.Value.Value,
        };
        using var server = new ServeServer(address, settings, legs, context.Time, context.Note, tls);
        document.Listen = ChannelAddress.From(server.LocalEndPoint).ToString();
        context.AnnounceListening(document.Listen);
        if (!arguments.GetValue(_untilEof) && PostcopyServeLeg.FindObstacle() is { } obstacle)
        {
            context.Note($"bench --postcopy will be refused: {obstacle}");
        }

        try
        {
            if (arguments.GetValue(_untilEof))
            {
                await ServeUntilEofAsync(server).ConfigureAwait(false);
            }
            else
            {
                await server.RunAsync(context.Stop).ConfigureAwait(false);
            }
        }
        finally
        {
            document.Sessions = server.Sessions;
            document.CompletedLegs = server.CompletedLegs;
        }

        return ExitCode.Done;
    }

    /// <summary>
    /// Serves as a child of a bench. A Ctrl-C reaches parent and child alike, and the parent decides what becomes of the child: only the
    /// end of input and SIGTERM count here.
    /// </summary>
    private static async Task ServeUntilEofAsync(ServeServer server)
    {
        using var end = new CancellationTokenSource();
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, _ => end.Cancel());
        var input = Console.OpenStandardInput();
        await using (input.ConfigureAwait(false))
        {
            var serving = server.RunAsync(end.Token);
            var closed = input.CopyToAsync(Stream.Null, end.Token);
            await Task.WhenAny(serving, closed).ConfigureAwait(false);
            await end.CancelAsync().ConfigureAwait(false);
            await serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>
    /// The end point to listen on: the first address of a host name, which <paramref name="resolve"/> finds (a parameter for the tests).
    /// </summary>
    /// <exception cref="CommandException">There is no such end point.</exception>
    public static async Task<IPEndPoint> ResolveAsync(
        ChannelAddress address, Func<string, CancellationToken, Task<IPAddress[]>> resolve, CancellationToken cancellation)
    {
        if (address.IsUnix)
        {
            throw new CommandException("--listen: serve answers other hosts and needs a TCP address", ExitCode.Usage);
        }

        if (address.Host.Length == 0)
        {
            return new IPEndPoint(Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any, address.Port);
        }
        // Name resolution does not take a wildcard address.
        if (IPAddress.TryParse(address.Host, out var literal))
        {
            return new IPEndPoint(literal, address.Port);
        }

        try
        {
            var found = await resolve(address.Host, cancellation).ConfigureAwait(false);
            return found is [var first, ..] ? new IPEndPoint(first, address.Port)
                : throw new CommandException($"--listen: '{address.Host}' has no address");
        }
        catch (SocketException exception)
        {
            throw new CommandException($"--listen: '{address.Host}': {exception.Message}", ExitCode.Failed, exception);
        }
    }
}
