using System.Threading.Channels;
using DataPlane.Admission;
using DataPlane.Guard.Order;
using DataPlane.Transport;
using DataPlane.Transport.Tls;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>
/// The public listeners. All places of channels can be freed for another attempt of the source; the addresses stay open, and the counts of
/// refusals go on.
/// </summary>
internal sealed class PublicListener(
    GuardedVmOptions options,
    QemuTarget target,
    GuardAdmissionHost host,
    ChannelWriter<GuardEvent> events,
    TimeProvider time,
    ILogger logger)
    : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly TlsBridgeUpgrade? _tls = options.Tls is null ? null : new TlsBridgeUpgrade(options.Tls, time);
    private readonly Dictionary<RefusalReason, long> _refusedBefore = Enum.GetValues<RefusalReason>().ToDictionary(r => r, _ => 0L);
    private IReadOnlyList<ChannelAddress> _addresses = options.Listen;
    private ChannelAdmission? _admission;
    private Task _pump = Task.CompletedTask;
    private bool _isDisposed;

    internal IReadOnlyList<ChannelAddress> LocalAddresses => _addresses;

    /// <summary>The number of the current set of channels. A channel of an earlier set comes too late.</summary>
    internal int Epoch { get; private set; }

    internal IReadOnlyList<UndecidedInfo> Undecided
    {
        get
        {
            lock (_gate)
            {
                return _admission?.Snapshot() ?? [];
            }
        }
    }

    /// <summary>
    /// Whether an undecided connection may still become any channel by what it sends: one from <paramref name="peer"/>, or from anywhere if
    /// that is <see langword="null"/>.
    /// </summary>
    internal bool HasOpen(PeerGroup? peer)
    {
        lock (_gate)
        {
            return _admission?.HasOpen(peer) ?? false;
        }
    }

    /// <summary>The number of refused connections by reason, over all openings.</summary>
    internal IReadOnlyDictionary<RefusalReason, long> Refused
    {
        get
        {
            lock (_gate)
            {
                return _refusedBefore.ToDictionary(r => r.Key, r => r.Value + (_admission?.Refused[r.Key] ?? 0));
            }
        }
    }

    /// <exception cref="IOException">An address cannot be listened on.</exception>
    internal void Open()
    {
        var admission = ChannelAdmission.Listen(_addresses,
            options.AdmissionOptions(target) with { Upgrade = _tls }, options.Sockets, time, logger, host);
        lock (_gate)
        {
            if (_isDisposed)
            {
                _ = admission.DisposeAsync().AsTask();
                return;
            }

            _admission = admission;
            _addresses = admission.LocalAddresses;
        }

        _pump = PumpAsync(admission);
    }

    /// <summary>Closes the listeners and refuses whatever is undecided.</summary>
    internal async ValueTask CloseAsync()
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
        await _pump.ConfigureAwait(false);
        lock (_gate)
        {
            foreach ((var reason, var count) in admission.Refused)
            {
                _refusedBefore[reason] += count;
            }
        }
    }

    /// <summary>Counts a connection that was refused after it had been admitted.</summary>
    internal void CountRefused(RefusalReason reason)
    {
        lock (_gate)
        {
            _refusedBefore[reason]++;
        }
    }

    /// <summary>Reports a set of channels that was admitted and came to nothing.</summary>
    internal void NoteFalseStart(string peer, string why) => _admission?.NoteFalseStart(peer, why);

    /// <summary>Frees all places for another attempt of the source. Undecided connections stay undecided.</summary>
    internal void StartAnew() => Epoch = _admission?.StartAnew() ?? Epoch;

    /// <summary>Frees the places of main and preempt for the recovery of the paused migration.</summary>
    internal void ExpectRecovery() => _admission?.ExpectRecovery();

    /// <summary>Has the connections judged again whose proof could not be judged before.</summary>
    internal void Recheck() => _admission?.Recheck();

    /// <summary>Closes the listeners and keeps them closed.</summary>
    internal ValueTask CloseForGoodAsync()
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

    private async Task PumpAsync(ChannelAdmission admission)
    {
        try
        {
            while (true)
            {
                var channel = await admission.AcceptAsync(CancellationToken.None).ConfigureAwait(false);
                if (!events.TryWrite(new GuardEvent.Admitted(channel)))
                {
                    channel.Dispose();
                }
            }
        }
        catch (ObjectDisposedException)
        {
            // The admission was closed.
        }
        catch (Exception e)
        {
            events.TryWrite(new GuardEvent.Broken(e));
        }
    }
}
