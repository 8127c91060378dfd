using DataPlane.Admission;
using DataPlane.Transport;
using DataPlane.Transport.Tls;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace DataPlane.Migration;

/// <summary>
/// Takes in one guest, from a QEMU source or from a <see cref="MigrationSource"/>: by precopy or postcopy, with or without multifd.
/// </summary>
/// <remarks>
/// Listens from the constructor's return on, so that <see cref="LocalAddresses"/> can be told to the source before
/// <see cref="ReceiveAsync"/> is called.
/// One migration per instance; members are thread-safe.
/// </remarks>
public sealed class MigrationDestination : IAsyncDisposable
{
    private readonly IIncomingGuest _guest;
    private readonly MigrationDestinationOptions _options;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly ChannelAdmission _admission;
    private readonly IChannelUpgrade? _tls;
    private readonly DestinationContext _context;

    /// <summary>Of all channels: one bound for whatever the peers send.</summary>
    private readonly BlockPool _pool = new();
    private GuestReturn? _return;
    private int _used;

    /// <summary>Opens <paramref name="addresses"/>.</summary>
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
        _logger = logger ?? NullLogger<MigrationDestination>.Instance;
        _time = timeProvider ?? TimeProvider.System;
        _context = new DestinationContext(options.UndecidedTimeout) { MainIsSettled = !options.KeepsWaiting };
        var rules = new AdmissionOptions
        {
            MultifdChannels = options.MultifdChannels,
            Uuid = options.Uuid,
            Preempt = options.Preempt,
            Allow = options.Allow,
            UndecidedTimeout = options.UndecidedTimeout,
            Upgrade = _tls = options.Tls is null ? null : TlsSessionUpgrade.Create(options.Tls, _time),
            HandshakeTimeout = options.TlsHandshakeTimeout,
        };
        try
        {
            _admission = ChannelAdmission.Listen(addresses, rules, options.Channels, _pool, _time, _logger, _context);
        }
        catch
        {
            _tls?.Dispose();
            throw;
        }

        MigrationLog.Listening(_logger, string.Join(", ", LocalAddresses), options.MultifdChannels);
    }

    /// <summary>Where it listens, with the real ports.</summary>
    public IReadOnlyList<ChannelAddress> LocalAddresses => _admission.LocalAddresses;

    /// <summary>Channels admitted so far.</summary>
    internal long Admitted => _admission.Admitted;

    /// <summary>Connections that have not shown yet what they are.</summary>
    internal IReadOnlyList<UndecidedInfo> Undecided => _admission.Snapshot();

    /// <summary>Raised for every connection turned away, on the thread that admits them: a handler must return at once.</summary>
    public event EventHandler<RefusalEventArgs>? Refusal
    {
        add => _admission.Refusal += value;
        remove => _admission.Refusal -= value;
    }

    /// <summary>Connections turned away so far, by reason. They never influence the migration.</summary>
    public IReadOnlyDictionary<RefusalReason, long> Refused => _admission.Refused;

    /// <summary>Waits for the source's channels and receives the guest.</summary>
    /// <param name="progress">Receives a report at every change of phase and at each interval. Called on any thread.</param>
    /// <param name="cancellationToken">
    /// Cancels up to the commit; the guest then goes on at the source. Without effect afterwards, and once a guest runs here by postcopy. A
    /// guest that is fetched by postcopy goes back when all is fetched: its source cannot take it back before.
    /// </param>
    /// <exception cref="MigrationException">The migration failed; the exception says where the guest is.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled; the guest is at its source.</exception>
    public async Task<MigrationReport> ReceiveAsync(
        IProgress<MigrationProgress>? progress = null, CancellationToken cancellationToken = default)
    {
        if (Interlocked.Exchange(ref _used, 1) != 0)
        {
            throw new InvalidOperationException("a destination takes in one guest");
        }

        for (var epoch = 0; ;)
        {
            var session = new DestinationSession(_admission, _context, _guest, _options, progress, _pool, _logger, _time) { Epoch = epoch };
            if (await TryReceiveAsync(session, cancellationToken).ConfigureAwait(false) is { } report)
            {
                return report;
            }

            epoch = session.NextEpoch;
        }
    }

    /// <summary>Null when what came was no migration at all, and another may come.</summary>
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
            // What has failed is what the caller hears, and not what fails after it.
            new Teardown().Run(() => ExpectReturn(session.OfferReturn(_pool)));
            throw;
        }
    }

    /// <summary>
    /// Whether <see cref="ReceiveAsync"/> has failed in a way in which a QEMU source up to 10.1 may stand still: it had announced that it
    /// may switch to postcopy, and the guest has not started here. Its <c>query-migrate</c> says then whether it does
    /// (<c>postcopy-paused</c>). Never true when the guest is here.
    /// </summary>
    public bool MayReturnGuest => Volatile.Read(ref _return) is not null;

    /// <summary>
    /// Waits for a source that is paused (<c>postcopy-paused</c>) and told to go on (<c>migrate</c> with <c>resume</c>), and gives it its
    /// guest back: its migration fails, and its guest runs on there from QEMU 8.2 on; an older one waits for <c>cont</c>. No other way out
    /// of that state exists: such a source refuses <c>cont</c>, and cancelling has no effect (specification, 4-postcopy section 4.8.4).
    /// </summary>
    /// <remarks>
    /// Nothing of the guest's memory is needed or kept. Connections that are not a source's change nothing. Without TLS anybody who speaks
    /// the protocol is answered, and the wait ends only with one from the address that main came from.
    /// </remarks>
    /// <param name="elsewhere">
    /// Told the address and port of one that was given the guest and came from another address, once for each address and no more than
    /// sixteen times: the source by another way, or a stranger. The wait goes on. Called on any thread, and must return at once.
    /// </param>
    /// <param name="cancellationToken">Ends the waiting; the source stays as it is, and this may be called again.</param>
    /// <returns>The address and port of the source that has its guest back.</returns>
    /// <exception cref="InvalidOperationException"><see cref="MayReturnGuest"/> is false.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled before a source had been told.</exception>
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
    /// Breaks the connections of a postcopy whose guest is here: both sides pause until the source comes again. Without effect at any other
    /// time.
    /// </summary>
    public void Pause() => _context.Receiver?.Pause();

    /// <summary>
    /// Closes the addresses and every connection that is not part of the migration. A guest that runs here already and whose memory is not
    /// complete can never get the rest
    /// then: the migration ends with <see cref="FailureReason.GuestAtDestination"/>, and who touches missing memory is stopped by the
    /// kernel.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        _context.Receiver?.GiveUp();
        await _admission.DisposeAsync().ConfigureAwait(false);
        _tls?.Dispose();
        _pool.Dispose();
    }

    /// <summary>From now on a source that comes again is let in, and waits for <see cref="ReturnGuestAsync"/>.</summary>
    private void ExpectReturn(GuestReturn? giving)
    {
        if (giving is null)
        {
            return;
        }

        MigrationLog.SourceMayStandStill(_logger);
        _admission.ExpectRecovery();
        _context.IsPaused = true;
        Volatile.Write(ref _return, giving);
        _admission.Recheck();
    }
}
