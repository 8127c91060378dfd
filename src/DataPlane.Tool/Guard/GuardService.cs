using System.Runtime.InteropServices;
using DataPlane.Guard;
using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Guard;

/// <summary>
/// A running guard, with its status, metrics and notices to systemd. It guards one VM until its migration is over, or the VMs of a config
/// file until it is stopped.
/// </summary>
internal sealed class GuardService : IGuardEvents, IDisposable
{
    /// <summary>How long a QEMU that does not answer its first question may keep the service from being ready.</summary>
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private readonly CommandContext _context;
    private readonly TimeSpan _interval;
    private readonly SystemdNotifier _systemd = new(Environment.GetEnvironmentVariable("NOTIFY_SOCKET"));
    private readonly CancellationTokenRegistration _stopping;
    private Func<IReadOnlyList<VmStatus>> _status = static () => [];
    private bool _servesOne;

    public GuardService(CommandContext context, TimeSpan interval)
    {
        _context = context;
        _interval = interval;
        _stopping = context.Stop.Register(_systemd.Stopping);
    }

    /// <summary>The state of all VMs at this moment. May be called from any thread.</summary>
    public IReadOnlyList<VmStatus> Status() => Volatile.Read(ref _status)();

    /// <summary>Raises the descriptor limit to what the VMs may need, and warns where that is not allowed.</summary>
    public void CheckDescriptors(IReadOnlyList<VmSettings> vms)
    {
        var needed = DescriptorLimit.Needed(vms);
        var allowed = OpenFileLimit.Raise(needed);
        if (allowed < needed)
        {
            _context.Warn($"{allowed} descriptors are allowed, {needed} may be needed: fewer connections may be undecided "
                + "than --max-undecided says, unless LimitNOFILE is raised");
        }
    }

    public IDisposable OpenMetrics(ChannelAddress address)
    {
        var metrics = new GuardMetrics(Status);
        try
        {
            return new MetricsLifetime(metrics, MetricsEndpoint.Open(address));
        }
        catch
        {
            metrics.Dispose();
            throw;
        }
    }

    /// <summary>Guards one VM until its migration is over.</summary>
    /// <exception cref="CommandException">The guard could not begin, or the migration failed.</exception>
    public async Task ServeOneAsync(VmSettings settings)
    {
        _servesOne = true;
        using var worker = Hire(settings);
        Volatile.Write(ref _status, () => [worker.Status()]);
        VmStatus ended;
        using (var over = CancellationTokenSource.CreateLinkedTokenSource(_context.Stop))
        {
            var watching = WatchAsync(over.Token);
            try
            {
                ended = await worker.ServeOnceAsync(_context.Stop).ConfigureAwait(false);
            }
            catch (GuardException exception)
            {
                throw new CommandException(exception.Message, innerException: exception);
            }
            finally
            {
                await over.CancelAsync().ConfigureAwait(false);
                await watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                KeepLast();
            }
        }

        if (ended.State != VmStatus.StateCompleted)
        {
            throw new CommandException(ended.Error ?? $"the migration is {ended.State}");
        }
    }

    /// <summary>Guards the VMs of a file until the command is stopped; SIGHUP reads the file again.</summary>
    /// <exception cref="OperationCanceledException">The command was stopped.</exception>
    public async Task ServeFileAsync(string path, IReadOnlyList<VmSettings> vms)
    {
        var reload = System.Threading.Channels.Channel.CreateBounded<bool>(1);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, signal =>
        {
            signal.Cancel = true;
            reload.Writer.TryWrite(true);
        });
        using var fleet = new VmFleet(Hire, _context.Note, _context.Stop);
        Volatile.Write(ref _status, fleet.Status);
        fleet.Apply(vms);
        var watching = WatchAsync(_context.Stop);
        try
        {
            await ReadyAsync(fleet).ConfigureAwait(false);
            await foreach (var _ in reload.Reader.ReadAllAsync(_context.Stop).ConfigureAwait(false))
            {
                await ReloadAsync(path, fleet).ConfigureAwait(false);
            }
        }
        finally
        {
            await watching.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await fleet.EndAsync().ConfigureAwait(false);
            KeepLast();
        }
    }

    private async Task ReloadAsync(string path, VmFleet fleet)
    {
        _systemd.Reloading();
        try
        {
            var vms = GuardConfig.Load(path);
            CheckDescriptors(vms);
            fleet.Apply(vms);
        }
        // Whatever the failure is, the next SIGHUP must still make the guard read the file again.
#pragma warning disable CA1031
        catch (Exception exception)
#pragma warning restore CA1031
        {
            _context.Warn($"{OneLine.Of(exception.Message)}; the VMs stay as they are");
        }

        await ReadyAsync(fleet).ConfigureAwait(false);
    }

    /// <summary>
    /// Tells that the service is at work when every VM has been tried. Whoever waits for the service then finds each address open whose
    /// QEMU waits.
    /// </summary>
    private async Task ReadyAsync(VmFleet fleet)
    {
        await fleet.TriedAsync().WaitAsync(s_patience, _context.Time, _context.Stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _context.Stop.ThrowIfCancellationRequested();
        _systemd.Ready();
    }

    /// <summary>Keeps progress and the service manager up to date.</summary>
    private async Task WatchAsync(CancellationToken end)
    {
        using var ticks = new PeriodicTimer(_interval, _context.Time);
        string? shown = null;
        while (await ticks.WaitForNextTickAsync(end).ConfigureAwait(false))
        {
            var vms = Status();
            var summary = StatusTable.Summarize(vms);
            _systemd.Status(summary);
            // A guard that waits for days reports it once.
            if (summary == shown && !vms.Any(static vm => vm.IsBusy()))
            {
                continue;
            }

            shown = summary;
            ChannelStatus[] channels = [.. vms.SelectMany(static vm => vm.Channels)];
            var relayed = channels.Sum(static channel => channel.InBytes + channel.OutBytes);
            _context.Progress.Report(new ProgressSample
            {
                Stage = summary,
                DoneBytes = relayed == 0 ? null : relayed,
                BytesPerSecond = relayed == 0 ? null : channels.Sum(static channel => channel.BytesPerSecond),
            });
        }
    }

    /// <summary>Keeps the last state for the document when the workers are gone.</summary>
    private void KeepLast()
    {
        var last = Status();
        Volatile.Write(ref _status, () => last);
    }

    private VmWorker Hire(VmSettings settings) => new(settings, Create, this, _context.Time);

    private GuardedVmAdapter Create(VmSettings settings) => new(settings, _context.Time, _context.Logs.CreateLogger<GuardedVm>());

    void IGuardEvents.Listening(VmStatus vm)
    {
        _context.AnnounceListening(vm.Listen);
        if (_servesOne)
        {
            _systemd.Ready();
        }
    }

    void IGuardEvents.Ended(VmStatus vm) => _context.Note($"{vm.Name}: {vm.State}{(vm.Error is { } error ? ": " + error : "")}");

    // A failure of the library's guard names the VM already; any other one does not.
    void IGuardEvents.CannotStart(string name, string reason) =>
        _context.Note($"{(reason.StartsWith(name, StringComparison.Ordinal) ? reason : $"{name}: {reason}")}; trying again");

    public void Dispose()
    {
        _stopping.Dispose();
        _systemd.Dispose();
    }

    private sealed class MetricsLifetime(GuardMetrics metrics, IDisposable endpoint) : IDisposable
    {
        public void Dispose()
        {
            endpoint.Dispose();
            metrics.Dispose();
        }
    }
}
