using DataPlane.Migration.Custody;
using DataPlane.Multifd;
using DataPlane.Postcopy;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration.Destination;

/// <summary>
/// One migration at its destination, as a sequence of stages: channels arrive, main is read beside multifd, and then the guest is committed
/// as a whole, or runs or is fetched by postcopy.
/// </summary>
internal sealed class DestinationSession : IAsyncDisposable
{
    private readonly ChannelAdmission _admission;
    private readonly MigrationDestinationOptions _options;
    private readonly BlockPool _pool;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly FirstCause _failure = new();
    private readonly DestinationCustody _custody;
    private readonly DestinationChannels _channels;
    private readonly MultifdReceiver _multifd;
    private readonly SourceIdentity _identity;
    private readonly DestinationSetup _setup;
    private readonly PhaseReporter _phases;
    private readonly IncomingPostcopy _postcopy;
    private readonly ChannelArrival _arrival;
    private readonly ArrivalWatch _watch;
    private readonly IncomingMainStream _stream;
    private readonly DestinationReports _reports;
    private readonly GuestCommit _commit;
    private readonly IPostcopyStage _afterSwitch;
    private readonly DestinationFailure _end;

    /// <param name="epoch">The set of channels (<see cref="AdmittedChannel.Epoch"/>) that this session takes.</param>
    /// <param name="admission">Admits the channels.</param>
    /// <param name="host">Answers what admission asks.</param>
    /// <param name="guest">The host's part of the migration.</param>
    /// <param name="options">What to expect, and how much to accept.</param>
    /// <param name="progress">Receives reports; null if nobody does.</param>
    /// <param name="pool">The pool of all channels.</param>
    /// <param name="logger">Takes the log events.</param>
    /// <param name="time">The clock.</param>
    public DestinationSession(
        int epoch,
        ChannelAdmission admission,
        DestinationAdmissionHost host,
        IIncomingGuest guest,
        MigrationDestinationOptions options,
        IProgress<MigrationProgress>? progress,
        BlockPool pool,
        ILogger logger,
        TimeProvider time)
    {
        (_admission, _options, _pool, _logger, _time) = (admission, options, pool, logger, time);
        var clock = new PhaseClock(time);
        var downtime = new DowntimeClock(time);
        var staging = new StagingBudget(options.MaxStagingBytes);
        var work = new HostWork();
        var proof = new HandoverProof();
        _custody = new DestinationCustody(guest);
        _channels = new DestinationChannels(options.MultifdChannels);
        _multifd = new MultifdReceiver(options.MultifdChannels, pool, options.Compression, staging);
        _identity = new SourceIdentity(options.Uuid, admission);
        _setup = new DestinationSetup(options, admission, host, _channels, _identity, _custody, _failure, time);
        _phases = new PhaseReporter(clock, new ProgressMeter(progress, clock), logger, Sample);
        var pauses = new PostcopyPauses(admission, host, guest, _custody, proof, _phases, logger);
        _postcopy = new IncomingPostcopy(guest, options, admission, host, staging, proof, pauses, _phases, downtime, logger);
        _arrival = new ChannelArrival(epoch, admission, host, _channels, _multifd, _postcopy, _setup, _phases, _failure, logger);
        _watch = new ArrivalWatch(options, _channels, work, _failure);
        _stream = new IncomingMainStream(
            guest, options, _identity, _setup, _custody, _multifd, _postcopy, work, _phases, downtime, _failure, time, logger);
        _reports = new DestinationReports(
            _identity, _custody, _channels, _multifd, _stream, _postcopy, pauses, proof, _phases, downtime, logger);
        var notice = new SourceNotice(_stream, _postcopy, proof, options.CloseTimeout, time, logger);
        var closing = new ChannelClosing(_channels, _multifd, options.CloseTimeout, time);
        var memory = new PostcopyMemoryWait(_custody, pauses);
        _commit = new GuestCommit(guest, _custody, _stream, _multifd, notice, closing, _reports, _phases, logger);
        _afterSwitch = guest is IPostcopyGuest live
            ? new LivePostcopy(live, _custody, notice, pauses, memory, closing, _reports, _phases, downtime, time)
            : new FetchedPostcopy(_custody, notice, memory, _commit, _phases);
        _end = new DestinationFailure(
            _failure, _custody, _setup, _arrival, _channels, _multifd, _stream, _postcopy, _identity, notice, _phases, logger);
    }

    /// <summary>Whether the session has failed as a false start, after which the destination waits for the next migration.</summary>
    public bool IsFalseStart => _arrival.HasLeft;

    /// <summary>The set of channels that has the places after a false start.</summary>
    public int NextEpoch => _arrival.NextEpoch;

    public async Task<MigrationReport> RunAsync(CancellationToken cancellationToken)
    {
        using var stopped = _failure.Token.Register(_end.Stop);
        using var cancelled = cancellationToken.Register(Cancel);
        using var stall = _watch.Start(_time);
        using var liveness = PeerLiveness.Start(
            () => _channels.All().Select(static one => one.Channel), _options.Sockets.AcknowledgementTimeout, _time);
        using var timer = _phases.ReportEvery(_options.ProgressInterval, _time);
        _arrival.Start();
        _ = WatchMultifdAsync();
        try
        {
            var main = await _channels.Main.WaitAsync(_failure.Token).ConfigureAwait(false);
            var arrived = await _stream.ReadAsync(main, _failure.Token).ConfigureAwait(false);
            if (arrived.Switchover is { } switchover)
            {
                return await SwitchAsync(main, arrived, switchover, stall).ConfigureAwait(false);
            }

            stall?.Dispose();
            return await _commit.RunAsync(main, arrived).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            throw await _end.EndAsync(failure, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _failure.Record(new OperationCanceledException());
            await _arrival.EndAsync().ConfigureAwait(false);
            await _phases.DrainAsync().ConfigureAwait(false);
        }
    }

    /// <summary>
    /// The way in which a paused source gets its guest back after this migration has failed. Null where no source can need it: the source
    /// has not announced a postcopy, the guest may run here, the source has its guest already, or it is one that never comes for it (a QEMU
    /// from 10.2 on, or this library).
    /// </summary>
    public GuestReturn? OfferReturn() =>
        !_end.HasGivenBack && _stream is { Pages: { } pages, IsPostcopyAdvised: true }
            && _postcopy.Receiver is { Source: { TakesBack: false, IsOurs: false } } && !_custody.MayRunHere
            && !_identity.Announced.TakesGuestBack
            ? new GuestReturn(pages.Memory, _stream.RamSection, SourceGroup(), _options.UndecidedTimeout, _time) : null;

    public async ValueTask DisposeAsync()
    {
        var teardown = new Teardown();
        await teardown.RunAsync(() => _postcopy.DisposeAsync().AsTask()).ConfigureAwait(false);
        await teardown.RunAsync(() => _multifd.AbortAsync(_failure.Cause ?? new OperationCanceledException())).ConfigureAwait(false);
        foreach (var admitted in _channels.All())
        {
            await teardown.RunAsync(() => admitted.Channel.DisposeAsync().AsTask()).ConfigureAwait(false);
        }

        teardown.Run(_setup.Dispose);
        _failure.Dispose();
        _arrival.Dispose();
        MigrationLog.CheckReturned(_logger, _pool);
        if (teardown.Failure is { } failure)
        {
            MigrationLog.TeardownFailed(_logger, failure.Message, failure);
        }
    }

    private Task<MigrationReport> SwitchAsync(Channel main, ArrivedStream arrived, PostcopySwitchover switchover, StallWatch? stall)
    {
        _multifd.CloseMemory(); // a packet that comes now fails its channel alone and writes nothing
        var receiver = _postcopy.Listen(main, switchover);
        _failure.Token.ThrowIfCancellationRequested();
        _admission.Recheck();
        return _afterSwitch.RunAsync(receiver, main, arrived, switchover, stall, _failure.Token);
    }

    private async Task WatchMultifdAsync()
    {
        var failure = await _multifd.Failed.ConfigureAwait(false);
        if (_postcopy.Listening is null)
        {
            _failure.Record(failure); // in postcopy no pages come on multifd
        }
    }

    private void Cancel()
    {
        if (_custody.On(DestinationEvent.Cancelled) == DestinationVerdict.LetGo)
        {
            _failure.Record(new OperationCanceledException("the migration was cancelled"));
        }
    }

    private MigrationProgress Sample() => _reports.Sample();

    /// <summary>
    /// The <see cref="AdmittedChannel.PeerGroup"/> of main; null with TLS, which has shown of every peer that it is the source.
    /// </summary>
    private PeerGroup? SourceGroup() => _options.Tls is null ? _channels.OfKind(ChannelKind.Main).First().PeerGroup : null;
}
