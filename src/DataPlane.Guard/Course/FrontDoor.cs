using System.Threading.Channels;
using DataPlane.Admission;
using DataPlane.Guard.Order;
using DataPlane.Transport;
using DataPlane.Transport.Tls;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Course;

/// <summary>
/// The public listeners. All places can be freed again for another attempt of the source, with the address open and the counts going on.
/// </summary>
internal sealed class FrontDoor(
    GuardedVmOptions options, QemuTarget target, GuardContext context, ChannelWriter<GuardEvent> events, TimeProvider time, ILogger logger)
    : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly TlsServerUpgrade? _tls = options.Tls is null ? null : new TlsServerUpgrade(options.Tls, time);
    private readonly Dictionary<RefusalReason, long> _refusedBefore = Enum.GetValues<RefusalReason>().ToDictionary(r => r, _ => 0L);
    private IReadOnlyList<ChannelAddress> _addresses = options.Listen;
    private ChannelAdmission? _admission;
    private Task _pump = Task.CompletedTask;
    private bool _isDisposed;

    internal IReadOnlyList<ChannelAddress> LocalAddresses => _addresses;

    /// <summary>Counts the sets of channels: those of an earlier one come too late.</summary>
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

    /// <summary>Over all openings.</summary>
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
            options.AdmissionOptions(target) with { Upgrade = _tls }, options.Sockets, time, logger, context);
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

    /// <summary>Closes, and refuses whatever is undecided.</summary>
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

    /// <summary>Counts a connection that was refused behind the door.</summary>
    internal void CountRefused(RefusalReason reason)
    {
        lock (_gate)
        {
            _refusedBefore[reason]++;
        }
    }

    /// <summary>Tells of a set that was let in and came to nothing.</summary>
    internal void NoteFalseStart(string peer, string why) => _admission?.NoteFalseStart(peer, why);

    /// <summary>All places are free again, for another attempt of the source. Whoever is undecided stays so.</summary>
    internal void StartAnew() => Epoch = _admission?.StartAnew() ?? Epoch;

    /// <summary>Main and preempt are free again, for the recovery of the paused migration.</summary>
    internal void ExpectRecovery() => _admission?.ExpectRecovery();

    /// <summary>Those whose proof could not be judged are judged again.</summary>
    internal void Recheck() => _admission?.Recheck();

    /// <summary>Closes, and is not opened again.</summary>
    internal ValueTask CloseForGoodAsync()
    {
        lock (_gate)
        {
            _isDisposed = true;
        }

        return CloseAsync();
    }

    /// <summary>After the relays: what they have handed on is still on its way to the source.</summary>
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
            // Closed.
        }
        catch (Exception e)
        {
            events.TryWrite(new GuardEvent.Broken(e));
        }
    }
}
