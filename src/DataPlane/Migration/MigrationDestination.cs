using DataPlane.Migration;
using DataPlane.Migration.Destination;
using DataPlane.Transport;
using DataPlane.Transport.Tls;
using Microsoft.Extensions.Logging;

namespace DataPlane;

/// <summary>
/// Takes in one guest, from a QEMU source or from a <see cref="MigrationSource"/>: by precopy or postcopy, with or without multifd.
/// </summary>
/// <remarks>
/// It listens when the constructor has returned, so that the source can be told <see cref="LocalAddresses"/> before
/// <see cref="ReceiveAsync"/> is called. An instance takes in one guest. All members are thread-safe.
/// </remarks>
public sealed class MigrationDestination : IAsyncDisposable
{
    private readonly IIncomingGuest _guest;
    private readonly MigrationDestinationOptions _options;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly ChannelAdmission _admission;
    private readonly IChannelUpgrade? _tls;
    private readonly DestinationAdmissionHost _host;

    /// <summary>The pool of all channels, so that one bound holds for whatever the peers send.</summary>
    private readonly BlockPool _pool = new();
    private GuestReturn? _return;
    private int _used;

    /// <summary>Creates a destination, which listens on <paramref name="addresses"/> from now on.</summary>
    /// <param name="addresses">The addresses to listen on.</param>
    /// <param name="guest">The host's part of the migration.</param>
    /// <param name="options">What to expect, and how much to accept.</param>
    /// <param name="logger">The log; null for none.</param>
    /// <param name="timeProvider">The clock; null for the system's.</param>
    /// <exception cref="ArgumentOutOfRangeException">An option is out of range.</exception>
    /// <exception cref="IOException">An address cannot be opened, or the TLS credentials cannot be used.</exception>
    public MigrationDestination(
        IReadOnlyList<ChannelAddress> addresses,
        IIncomingGuest guest,
        MigrationDestinationOptions options,
        ILogger<MigrationDestination>? logger = null,
        TimeProvider? timeProvider = null)
    {
        ArgumentNullException.ThrowIfNull(addresses);
        ArgumentNullException.ThrowIfNull(guest);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _guest = guest;
        _options = options;
        _logger = HostLogger.Of(logger);
        _time = timeProvider ?? TimeProvider.System;
        _host = new DestinationAdmissionHost(options.UndecidedTimeout) { MainIsSettled = !options.KeepsWaiting };
        var rules = new AdmissionOptions
        {
            MultifdChannels = options.MultifdChannels,
            Uuid = options.Uuid,
            Preempt = options.Preempt,
            Allow = options.Allow,
            UndecidedTimeout = options.UndecidedTimeout,
            Upgrade = _tls = options.Tls is null ? null : OpenSslUpgrade.Create(options.Tls, _time),
            HandshakeTimeout = options.TlsHandshakeTimeout,
        };
        try
        {
            _admission = ChannelAdmission.Listen(addresses, rules, options.Sockets, _pool, _time, _logger, _host);
        }
        catch
        {
            _tls?.Dispose();
            throw;
        }

        MigrationLog.Listening(_logger, string.Join(", ", LocalAddresses), options.MultifdChannels);
    }

    /// <summary>The addresses on which the destination listens, with the real ports.</summary>
    public IReadOnlyList<ChannelAddress> LocalAddresses => _admission.LocalAddresses;

    /// <summary>The number of channels admitted so far.</summary>
    internal long Admitted => _admission.Admitted;

    /// <summary>The connections that have not shown yet what they are.</summary>
    internal IReadOnlyList<UndecidedInfo> Undecided => _admission.Snapshot();

    /// <summary>
    /// Raised for every connection that is turned away, on the thread that admits connections: a handler must return at once.
    /// </summary>
    public event EventHandler<RefusalEventArgs>? Refusal
    {
        add => _admission.Refusal += value;
        remove => _admission.Refusal -= value;
    }

    /// <summary>The number of connections turned away so far, by reason. Such connections never influence the migration.</summary>
    public IReadOnlyDictionary<RefusalReason, long> Refused => _admission.Refused;

    /// <summary>Waits for the source's channels and receives the guest.</summary>
    /// <param name="progress">
    /// Receives a report at every change of phase and at each interval. It is called on any thread, one call at a time, and must return at
    /// once. What it throws is ignored.
    /// </param>
    /// <param name="cancellationToken">
    /// Cancels the migration up to the commit; the guest then goes on at its source. It has no effect afterwards, nor once a guest runs
    /// here by postcopy. A guest that is fetched by postcopy goes back only when all of it is fetched, because its source cannot take it
    /// back before.
    /// </param>
    /// <returns>What the completed migration was like.</returns>
    /// <exception cref="MigrationException">
    /// The migration failed; <see cref="MigrationException.Owner"/> says where the guest is.
    /// </exception>
    /// <exception cref="OperationCanceledException">The migration was cancelled; the guest is at its source.</exception>
    /// <exception cref="InvalidOperationException">This was called before.</exception>
    public async Task<MigrationReport> ReceiveAsync(
        IProgress<MigrationProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        if (Interlocked.Exchange(ref _used, 1) != 0)
        {
            throw new InvalidOperationException("a destination takes in one guest");
        }

        for (var epoch = 0; ;)
        {
            var session = new DestinationSession(epoch, _admission, _host, _guest, _options, progress, _pool, _logger, _time);
            if (await TryReceiveAsync(session, cancellationToken).ConfigureAwait(false) is { } report)
            {
                return report;
            }

            epoch = session.NextEpoch;
        }
    }

    /// <summary>Runs one session; returns null when what came was no migration at all, and another may come.</summary>
    private async Task<MigrationReport?> TryReceiveAsync(DestinationSession session, CancellationToken cancellationToken)
    {
        try
        {
            await using (session.ConfigureAwait(false))
            {
                return await session.RunAsync(cancellationToken).ConfigureAwait(false);
            }
        }
        catch (MigrationException) when (session.IsFalseStart)
        {
            return null;
        }
        catch
        {
            // The caller must hear of the migration's failure, not of a failure of this step.
            new Teardown().Run(() => ExpectReturn(session.OfferReturn()));
            throw;
        }
    }

    /// <summary>
    /// Whether <see cref="ReceiveAsync"/> has failed in a way that may have left a QEMU source up to 10.1 paused: the source had announced
    /// that it may switch to postcopy, and the guest has not started here. The source's <c>query-migrate</c> tells whether it is paused
    /// (<c>postcopy-paused</c>). This is never true when the guest is here, nor while <see cref="ReturnGuestAsync"/> runs.
    /// </summary>
    public bool MayReturnGuest => Volatile.Read(ref _return) is not null;

    /// <summary>
    /// Waits for a source that is paused (<c>postcopy-paused</c>) and is told to go on (<c>migrate</c> with <c>resume</c>), and gives the
    /// guest back to it: the source's migration fails, and its guest runs on there from QEMU 8.2 on; an older one waits for <c>cont</c>.
    /// There is no other way out of that state: such a source refuses <c>cont</c>, and cancelling has no effect (specification, 4-postcopy
    /// section 4.8.4).
    /// </summary>
    /// <remarks>
    /// Nothing of the guest's memory is needed or kept. Connections that are not a source's change nothing. Without TLS, any peer that
    /// speaks the protocol is answered, and the wait ends only with a peer from the address that main came from.
    /// </remarks>
    /// <param name="elsewhere">
    /// Receives the address and port of a peer that was given the guest from another address than main's: the source by another way, or a
    /// stranger. Each such address is reported once, sixteen of them at most, and the wait goes on. It is called on any thread and must
    /// return at once.
    /// </param>
    /// <param name="cancellationToken">Ends the waiting; the source stays as it is, and this may be called again.</param>
    /// <returns>The address and port of the source that has its guest back.</returns>
    /// <exception cref="InvalidOperationException"><see cref="MayReturnGuest"/> is false.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled before a source had been told.</exception>
    /// <exception cref="ObjectDisposedException">The destination was closed.</exception>
    public async Task<string> ReturnGuestAsync(IProgress<string>? elsewhere = null, CancellationToken cancellationToken = default)
    {
        var giving = Interlocked.Exchange(ref _return, null)
            ?? throw new InvalidOperationException("there is no guest whose source may stand still");
        try
        {
            var source = await giving.RunAsync(_admission, NoteElsewhere, cancellationToken).ConfigureAwait(false);
            MigrationLog.GuestReturned(_logger, source);
            return source;
        }
        catch
        {
            Volatile.Write(ref _return, giving);
            throw;
        }

        void NoteElsewhere(string peer)
        {
            MigrationLog.GuestReturnedElsewhere(_logger, peer);
            elsewhere?.Report(peer);
        }
    }

    /// <summary>
    /// Breaks the connections of a postcopy whose guest is here or is being fetched: both sides pause until the source comes again. It has
    /// no effect at any other time.
    /// </summary>
    public void Pause() => _host.Receiver?.Pause();

    /// <summary>
    /// Closes the addresses and every connection that is not part of the migration. A guest that already runs here while its memory is
    /// incomplete can never get the rest then: the migration ends with <see cref="FailureReason.GuestAtDestination"/>, and the kernel stops
    /// whoever touches missing memory.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        _host.Receiver?.GiveUp();
        await _admission.DisposeAsync().ConfigureAwait(false);
        _tls?.Dispose();
        _pool.Dispose();
    }

    /// <summary>From now on lets a source in that comes again; it waits for <see cref="ReturnGuestAsync"/>.</summary>
    private void ExpectReturn(GuestReturn? giving)
    {
        if (giving is null)
        {
            return;
        }

        MigrationLog.SourceMayStandStill(_logger);
        _admission.ExpectRecovery();
        _host.IsPaused = true;
        Volatile.Write(ref _return, giving);
        _admission.Recheck();
    }
}
