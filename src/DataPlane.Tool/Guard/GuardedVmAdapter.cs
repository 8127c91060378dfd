using System.Text.Json;
using DataPlane.Guard;
using DataPlane.Tool.Control;
using Microsoft.Extensions.Logging;

namespace DataPlane.Tool.Guard;

/// <summary>The library's guard of one VM, with options and snapshots translated from and to the command's own types.</summary>
internal sealed class GuardedVmAdapter : IGuardedVm
{
    /// <summary>The longest path of a monitor that leaves room for the name of a socket beside it.</summary>
    private const int MostBeside = 90;

    private readonly VmSettings _settings;
    private readonly TlsCredentials? _credentials;
    private readonly GuardedVm _vm;

    /// <exception cref="TlsCredentialsException">The settings name credentials that cannot be used.</exception>
    public GuardedVmAdapter(VmSettings settings, TimeProvider time, ILogger<GuardedVm> logger)
    {
        _settings = settings;
        _credentials = settings.Tls.Load();
        try
        {
            _vm = new GuardedVm(Translate(settings) with { Tls = _credentials }, logger, time);
        }
        catch
        {
            _credentials?.Dispose();
            throw;
        }
    }

    public Task StartAsync(CancellationToken cancellation) => _vm.StartAsync(cancellation);

    public Task RunAsync(CancellationToken cancellation) => _vm.RunAsync(cancellation);

    public void Retire() => _vm.Retire();

    public VmStatus Status()
    {
        var snapshot = _vm.Snapshot();
        return new VmStatus
        {
            Name = snapshot.Name,
            QemuVersion = snapshot.QemuVersion,
            Listen = snapshot.Listen is [var first, ..] ? first.ToString() : _settings.Listen.ToString(),
            State = Spell(snapshot.State),
            Channels = [.. snapshot.Channels.Select(Translate)],
            Undecided = snapshot.Undecided,
            Candidates = snapshot.Candidates,
            Refused = snapshot.Refused.Where(static entry => entry.Value > 0)
                .ToDictionary(static entry => Spell(entry.Key), static entry => entry.Value),
            Error = snapshot.Failure,
        };
    }

    private static ChannelStatus Translate(GuardChannel channel) => new()
    {
        Kind = Spell(channel.Kind),
        Id = channel.Id,
        Peer = channel.Peer,
        State = Spell(channel.State),
        InBytes = channel.BytesIn,
        OutBytes = channel.BytesOut,
        BytesPerSecond = channel.BytesPerSecond,
    };

    private static GuardedVmOptions Translate(VmSettings settings) => new()
    {
        Name = settings.Name,
        Listen = [settings.Listen],
        Qmp = settings.Qmp,
        Incoming = settings.Incoming,
        RuntimeFolder = RuntimeFolder(settings),
        To = settings.To,
        MultifdChannels = settings.Channels,
        Preempt = settings.Preempt,
        Uuid = settings.Uuid,
        Allow = settings.Allow,
        AnyPeer = settings.AnyPeer,
        TlsPassThrough = settings.Tls.PassThrough,
        TlsHandshakeTimeout = settings.Tls.HandshakeTimeout,
        UndecidedTimeout = settings.UndecidedTimeout,
        MaxUndecided = settings.MaxUndecided,
        MaxUndecidedPerPeer = settings.MaxUndecidedPerPeer,
    };

    /// <summary>
    /// The folder for QEMU's socket when the monitor's path is too long to have one beside it, made only then; null otherwise.
    /// </summary>
    private static string? RuntimeFolder(VmSettings settings)
    {
        if (settings.Incoming is not null || settings.Qmp is not { IsUnix: true, Path.Length: > MostBeside } || OperatingSystem.IsWindows())
        {
            return null;
        }

        var folder = ControlPaths.Folders(Environment.GetEnvironmentVariable).First();
        // A socket in a folder of somebody else may not be QEMU's, and the guard would send it the guest.
        Control.RuntimeFolder.Prepare(folder, isOwn: true);
        return folder;
    }

    private static string Spell<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());

    public async ValueTask DisposeAsync()
    {
        await _vm.DisposeAsync().ConfigureAwait(false);
        _credentials?.Dispose();
    }
}

/// <summary>The guard of one migration into one QEMU, as the command sees it.</summary>
internal interface IGuardedVm : IAsyncDisposable
{
    /// <summary>Prepares QEMU and opens the address. Connections are accepted when it returns.</summary>
    Task StartAsync(CancellationToken cancellation);

    /// <summary>Serves until the migration has completed or failed; <see cref="Status"/> tells which.</summary>
    Task RunAsync(CancellationToken cancellation);

    /// <summary>
    /// Ends the guard: at once, or when a migration that has begun is over. Any thread may call it, until the guard is disposed of.
    /// </summary>
    void Retire();

    VmStatus Status();
}
