using System.CommandLine;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Control;

namespace DataPlane.Tool.Guard;

/// <summary><c>dataplane guard</c>: guards a QEMU that waits for a migration, or several.</summary>
internal sealed class GuardCommand
{
    private readonly ToolOption<string?> _config =
        Options.Text("--config", "FILE", "several VMs, a section [NAME] for each with these options as KEY = VALUE; SIGHUP reads it again");

    private readonly ToolOption<bool> _check =
        Options.Flag("--check", "only read the file of --config, and the TLS files that it names: exit 0 when it can be guarded by");

    private readonly ToolOption<string?> _control =
        Options.Text("--control", "PATH", "socket where guard status looks (default: one in the runtime folder, which it finds by itself)");

    private readonly ToolOption<ChannelAddress?> _metrics =
        Options.Address("--metrics", "ADDR", "serve Prometheus text at http://ADDR/metrics");

    private readonly VmOptions _vm;

    private GuardCommand(Command command)
    {
        _vm = VmOptions.AddTo(command, result => result.GetResult(_config) is null);
        foreach (var option in (ReadOnlySpan<Option>)[_config, _check, _control, _metrics])
        {
            command.Options.Add(option);
        }
        // This rule comes before the rules of a single VM, which would ask for --listen.
        command.Validators.Insert(0, result =>
        {
            if (result.GetValue(_check) && result.GetResult(_config) is null)
            {
                result.AddError("--check goes with --config");
            }

            if (result.GetValue(_metrics) is { } metrics && MetricsEndpoint.FindFault(metrics) is { } fault)
            {
                result.AddError(fault);
            }
        });
    }

    public static Command Create(ToolConsole console)
    {
        var command = new Command("guard", "Be the front door of a QEMU that waits for a migration.");
        var guard = new GuardCommand(command);
        var output = OutputOptions.AddTo(command);
        HelpWithExamples.SetExamples(
            command,
            new HelpExample("before a QEMU that waits with -incoming defer: the source migrates to tcp:HOST:49152",
                "dataplane guard --listen :49152 --qmp unix:/run/vm.qmp"),
            new HelpExample("several VMs as a service, with metrics", "dataplane guard --config guard.conf --metrics 127.0.0.1:9464"));
        command.SetBody<GuardDocument>(
            console,
            output,
            (arguments, context, document) => guard.RunAsync(arguments, context, document, output.Read(arguments).Interval),
            static _ => ExitCode.Done);
        command.Subcommands.Add(GuardStatusCommand.Create(console));
        return command;
    }

    private async Task<ExitCode> RunAsync(ParseResult arguments, CommandContext context, GuardDocument document, TimeSpan interval)
    {
        var config = arguments.GetValue(_config);
        var vms = config is null ? [_vm.Read(arguments)] : GuardConfig.Load(config);
        if (arguments.GetValue(_check))
        {
            Check(config!, vms, context, document);
            return ExitCode.Done;
        }

        using var service = new GuardService(context, interval);
        service.CheckDescriptors(vms);
        var control = arguments.GetValue(_control) ?? ControlPaths.Own(ControlPaths.Guard, Environment.GetEnvironmentVariable);
        var server = OpenControl(control, isDefault: arguments.GetValue(_control) is null, service, context);
        document.Control = server?.Path;
        // Migrations under way go through this process, so a closed terminal must not end it. With a file, SIGHUP means to read it again.
        using var lasting = HangUps.Survive();
        using var metrics = arguments.GetValue(_metrics) is { } address ? service.OpenMetrics(address) : null;
        try
        {
            if (config is not null)
            {
                await service.ServeFileAsync(config, vms).ConfigureAwait(false);
            }
            else
            {
                await service.ServeOneAsync(vms[0]).ConfigureAwait(false);
            }

            return ExitCode.Done;
        }
        finally
        {
            document.Vms = service.Status();
            StatusTable.Write(context.Results, document.Vms);
            if (server is not null)
            {
                await server.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    /// <summary>Checks what a reload would come to. Opens no address and asks no QEMU.</summary>
    private static void Check(string config, IReadOnlyList<VmSettings> vms, CommandContext context, GuardDocument document)
    {
        foreach (var vm in vms)
        {
            try
            {
                using var credentials = vm.Tls.Load();
                if (credentials?.KeyWarning is { } warning)
                {
                    context.Warn($"[{vm.Name}]: {warning}");
                }
            }
            catch (TlsCredentialsException exception)
            {
                throw new CommandException($"{config}: [{vm.Name}]: {OneLine.Of(exception.Message)}", innerException: exception);
            }
        }

        document.Vms =
        [
            .. vms.Select(static vm => new VmStatus { Name = vm.Name, Listen = vm.Listen.ToString(), State = VmStatus.StatePreparing }),
        ];
        context.Results.WriteLine($"{config}: {vms.Count} {(vms.Count == 1 ? "VM" : "VMs")}, nothing is wrong with it");
    }

    /// <summary>Opens the control socket. A guard that cannot have its default socket guards without one, after a warning.</summary>
    private static ControlServer? OpenControl(string path, bool isDefault, GuardService service, CommandContext context)
    {
        try
        {
            return ControlServer.Open(path, service.Status, context.Time);
        }
        catch (CommandException exception) when (isDefault)
        {
            context.Warn($"guard status will not find this guard: {exception.Message}");
            return null;
        }
    }
}
