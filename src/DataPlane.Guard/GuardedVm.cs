using DataPlane.Guard.Order;
using DataPlane.Guard.Qmp;
using DataPlane.Guard.Session;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard;

/// <summary>
/// Guards one QEMU that waits for a migration. Connections come to the guard, and it hands on only those that have proved to be a channel
/// of the migration, in an order that every version of QEMU understands.
/// </summary>
/// <remarks>
/// <para>One object serves one incoming migration with all its recoveries, because QEMU accepts one per process.</para>
/// <para>The members may be used from any thread.</para>
/// </remarks>
public sealed class GuardedVm : IAsyncDisposable
{
    private readonly GuardedVmOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _retiring = new();
    private QemuMonitor? _monitor;
    private volatile QemuTarget? _target;
    private volatile GuardSession? _session;
    private int _disposed;

    /// <summary>Creates a guard. Nothing is opened before <see cref="StartAsync"/>.</summary>
    /// <param name="options">The VM, and what may connect to it.</param>
    /// <param name="logger">Takes log events 3200 to 3299, and 3100 to 3199 of the admission; null for none.</param>
    /// <param name="timeProvider">The clock; null for the system's.</param>
    /// <exception cref="ArgumentException">An option is wrong; the message says which.</exception>
    public GuardedVm(GuardedVmOptions options, ILogger<GuardedVm>? logger = null, TimeProvider? timeProvider = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
        _logger = HostLogger.Of(logger);
        _time = timeProvider ?? TimeProvider.System;
    }

    /// <summary>
    /// The addresses on which the guard listens, with their actual ports; empty before <see cref="StartAsync"/> has ended.
    /// </summary>
    public IReadOnlyList<ChannelAddress> LocalAddresses => _session?.Listener.LocalAddresses ?? [];

    /// <summary>
    /// Asks QEMU what it expects, makes it listen, and opens the public addresses. Returns when connections are accepted. Call it once;
    /// after a failure, dispose of the object.
    /// </summary>
    /// <exception cref="GuardException">
    /// QEMU cannot be reached, does not answer in time, or cannot receive a migration, or an address cannot be listened on.
    /// </exception>
    /// <exception cref="OperationCanceledException">
    /// <paramref name="cancellationToken"/> was cancelled, or <see cref="Retire"/> was called.
    /// </exception>
    public async Task StartAsync(CancellationToken cancellationToken = default)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _retiring.Token);
        await PrepareAsync(either.Token).ConfigureAwait(false);
        if (_retiring.IsCancellationRequested)
        {
            _session!.Retire(); // Retire may have come before there was a session to end
        }
    }

    private async Task PrepareAsync(CancellationToken cancellationToken)
    {
        if (_options.Tls?.KeyWarning is { } warning)
        {
            GuardLog.KeyExposed(_logger, _options.Name, warning);
        }

        try
        {
            if (_options.Qmp is not null)
            {
                _monitor = await QemuMonitor.ConnectAsync(
                    _options, _time, status => _session?.ReportStatus(status), cancellationToken).ConfigureAwait(false);
                _target = await _monitor.PrepareAsync(cancellationToken).ConfigureAwait(false);
            }
            else
            {
                _target = QemuTarget.From(_options, _options.To!);
                if (ForwardingOrder.WhyNot(_target) is { } reason)
                {
                    throw new QmpException(reason);
                }
            }

            var blocks = new KnownBlocks();
            if (_monitor is not null && _target.Postcopy)
            {
                await _monitor.AskBlocksAsync(blocks, cancellationToken).ConfigureAwait(false);
            }

            if (_monitor is not null && _target.Postcopy && !blocks.IsKnown)
            {
                GuardLog.BlocksUnknown(_logger, _options.Name);
            }

            GuardLog.Prepared(_logger, _options.Name, _target.Version?.ToString() ?? "of unknown version", _target.Address.ToString(),
                _target.Channels, _target.Preempt, _target.Tls);
            var session = GuardSessionParts.Assemble(_options, _target, _monitor, blocks, _time, _logger);
            _session = session;
            await session.OpenAsync(_monitor).ConfigureAwait(false);
        }
        catch (Exception e) when (e is QmpException or TimeoutException or IOException)
        {
            throw new GuardException($"{_options.Name}: {e.Message}", e);
        }
    }

    /// <summary>
    /// Serves the migration to its end and returns <see cref="GuardState.Completed"/>, <see cref="GuardState.Failed"/>, or
    /// <see cref="GuardState.Stopped"/> after <see cref="Retire"/> or when the guard is disposed of before that end. Call it once, after
    /// <see cref="StartAsync"/>.
    /// </summary>
    /// <exception cref="OperationCanceledException">
    /// <paramref name="cancellationToken"/> was cancelled. Open channels are reset when the guard is disposed of: a migration that has
    /// begun does not survive its guard.
    /// </exception>
    /// <exception cref="InvalidOperationException"><see cref="StartAsync"/> has not succeeded.</exception>
    public async Task<GuardState> RunAsync(CancellationToken cancellationToken = default)
    {
        var session = _session ?? throw new InvalidOperationException($"{nameof(StartAsync)} comes first.");
        return await session.RunAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Has the guard end: at once while no channel of a migration has proved itself, otherwise when that migration is over or its source
    /// has given up. A migration that begins during this call is served to its end. Returns at once; idempotent.
    /// </summary>
    /// <remarks>A <see cref="StartAsync"/> that is under way ends with <see cref="OperationCanceledException"/>.</remarks>
    public void Retire()
    {
        if (Volatile.Read(ref _disposed) != 0)
        {
            return;
        }

        _retiring.Cancel();
        _session?.Retire();
    }

    /// <summary>Takes a snapshot of the present state. It is cheap enough to be taken once a second.</summary>
    public GuardSnapshot Snapshot()
    {
        var session = _session;
        var undecided = session?.Listener.Undecided ?? [];
        return new GuardSnapshot
        {
            Name = _options.Name,
            Listen = LocalAddresses,
            Qemu = _target?.Address,
            QemuVersion = _target?.Version?.ToString(),
            State = session?.State ?? GuardState.Preparing,
            Failure = session?.Failure,
            Channels = session?.Channels() ?? [],
            ExpectedMultifdChannels = _target?.Channels ?? 0,
            ExpectsPreempt = _target?.Preempt ?? false,
            Undecided = undecided.Count,
            Candidates = undecided.Count(u => u.State == UndecidedState.Candidate),
            Refused = session?.Listener.Refused ?? Enum.GetValues<RefusalReason>().ToDictionary(r => r, _ => 0L),
        };
    }

    /// <summary>Closes everything: the listeners, the channels and the connection to QEMU's monitor. Idempotent.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        _session?.Stop();
        if (_session is not null)
        {
            await _session.DisposeAsync().ConfigureAwait(false);
        }

        if (_monitor is not null)
        {
            await _monitor.DisposeAsync().ConfigureAwait(false);
        }

        RemoveIncomingSocket();
        _target?.Place?.Dispose();
    }

    /// <summary>
    /// Removes the Unix socket that QEMU made for this guard, which only a QEMU that was killed leaves behind. A QEMU that still waits
    /// needs it for the next guard. A name that this guard has not given to QEMU is not its to remove, and neither is anything but a
    /// socket.
    /// </summary>
    private void RemoveIncomingSocket()
    {
        if (_target is { IsToldByUs: true, Place: { } place } && _session?.State is GuardState.Completed or GuardState.Failed)
        {
            _ = place.TryRemove();
        }
    }
}
