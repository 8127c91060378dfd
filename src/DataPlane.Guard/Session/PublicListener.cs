using DataPlane.Guard.Order;
using DataPlane.Transport;
using DataPlane.Transport.Tls;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>
/// The public listeners. All places of channels can be freed for another attempt of the source; the addresses stay open, and the counts of
/// refusals go on. Thread-safe.
/// </summary>
internal sealed class PublicListener(
    GuardedVmOptions options, QemuTarget target, GuardAdmissionHost host, TimeProvider time, ILogger logger) : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly TlsBridgeUpgrade? _tls = options.Tls is null ? null : new TlsBridgeUpgrade(options.Tls, time);

    /// <summary>What admission has not counted, and what it had counted when it was closed. Guarded by the gate.</summary>
    private readonly Dictionary<RefusalReason, long> _refused = Enum.GetValues<RefusalReason>().ToDictionary(r => r, _ => 0L);

    private volatile IReadOnlyList<ChannelAddress> _addresses = options.Listen;
    private volatile ChannelAdmission? _admission; // null before it is opened, and after it is closed
    private bool _isDisposed; // guarded by the gate

    public IReadOnlyList<ChannelAddress> LocalAddresses => _addresses;

    /// <summary>
    /// The number of the current set of channels. A channel of an earlier set comes too late. Only the session's loop asks.
    /// </summary>
    public int Epoch { get; private set; }

    public IReadOnlyList<UndecidedInfo> Undecided
    {
        get
        {
            lock (_gate)
            {
                return _admission?.Snapshot() ?? [];
            }
        }
    }

    /// <summary>The number of refused connections by reason.</summary>
    public IReadOnlyDictionary<RefusalReason, long> Refused
    {
        get
        {
            lock (_gate)
            {
                return _refused.ToDictionary(r => r.Key, r => r.Value + (_admission?.Refused[r.Key] ?? 0));
            }
        }
    }

    /// <exception cref="IOException">An address cannot be listened on.</exception>
    public async ValueTask OpenAsync()
    {
        var admission = ChannelAdmission.Listen(options.Listen,
            options.AdmissionOptions(target) with { Upgrade = _tls }, options.Sockets, time, logger, host);
        lock (_gate)
        {
            if (!_isDisposed)
            {
                _addresses = admission.LocalAddresses;
                _admission = admission;
                return;
            }
        }

        await admission.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>
    /// Waits for the next channel. What ends the admission is <see cref="GuardEvent.Broken"/> if it has failed, and null if the listeners
    /// are closed or the wait was cancelled.
    /// </summary>
    public async Task<GuardEvent?> NextAsync(CancellationToken cancellationToken)
    {
        try
        {
            return _admission is { } open
                ? new GuardEvent.Admitted(await open.AcceptAsync(cancellationToken).ConfigureAwait(false)) : null;
        }
        catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
        {
            return null;
        }
        catch (Exception e)
        {
            return new GuardEvent.Broken(e);
        }
    }

    /// <summary>Closes the listeners and refuses whatever is undecided.</summary>
    public async ValueTask CloseAsync()
    {
        ChannelAdmission? admission;
        lock (_gate)
        {
            (admission, _admission) = (_admission, null);
        }

        if (admission is null)
        {
            return;
        }

        await admission.DisposeAsync().ConfigureAwait(false);
        lock (_gate)
        {
            foreach ((var reason, var count) in admission.Refused)
            {
                _refused[reason] += count;
            }
        }
    }

    /// <summary>
    /// Whether an undecided connection may still become any channel by what it sends: one from <paramref name="peer"/>, or from anywhere if
    /// that is <see langword="null"/>.
    /// </summary>
    public bool HasOpen(PeerGroup? peer)
    {
        lock (_gate)
        {
            return _admission?.HasOpen(peer) ?? false;
        }
    }

    /// <summary>Counts a connection that was refused after it had been admitted.</summary>
    public void CountRefused(RefusalReason reason)
    {
        lock (_gate)
        {
            _refused[reason]++;
        }
    }

    /// <summary>Reports a set of channels that was admitted and came to nothing.</summary>
    public void NoteFalseStart(string peer, string why) => _admission?.NoteFalseStart(peer, why);

    /// <summary>Frees all places for another attempt of the source. Undecided connections stay undecided.</summary>
    public void StartAnew() => Epoch = _admission?.StartAnew() ?? Epoch;

    /// <summary>Frees the places of main and preempt for the recovery of the paused migration.</summary>
    public void ExpectRecovery() => _admission?.ExpectRecovery();

    /// <summary>Has the connections judged again whose proof could not be judged before.</summary>
    public void Recheck() => _admission?.Recheck();

    /// <summary>Closes the listeners and keeps them closed.</summary>
    public ValueTask CloseForGoodAsync()
    {
        lock (_gate)
        {
            _isDisposed = true;
        }

        return CloseAsync();
    }

    /// <summary>
    /// Closes the listeners, then TLS. Call it after the end of the relays: what they have handed on may still be on its way to the source.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        await CloseForGoodAsync().ConfigureAwait(false);
        if (_tls is null)
        {
            return;
        }

        await _tls.DrainAsync(options.DrainTimeout).ConfigureAwait(false);
        await _tls.DisposeAsync().ConfigureAwait(false);
    }
}
