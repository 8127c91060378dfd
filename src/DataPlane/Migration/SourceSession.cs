using DataPlane.Admission;
using DataPlane.MainStream;
using DataPlane.Memory;
using DataPlane.Migration.Custody;
using DataPlane.Multifd;
using DataPlane.Transport;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration;

/// <summary>One migration at its source: it connects, sets up, sends rounds of pages, and hands the guest over.</summary>
/// <remarks>
/// What it sends depends on the destination where <see cref="QemuCompatibility"/> says so. This is the same for all: main connects first
/// and sends its header at once, then all multifd channels connect; the return path is opened and a PING is sent; SYNC packets carry no
/// pages, and none is sent without a mark; a SWITCHOVER_ACK is accepted and not waited for; the multifd channels end before main, after the
/// destination's SHUT.
/// </remarks>
internal sealed partial class SourceSession : IAsyncDisposable
{
    private readonly IMigratableGuest _guest;
    private readonly MigrationSourceOptions _options;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly PhaseClock _clock;
    private readonly ProgressMeter _progress;
    private readonly FirstCause _failure = new();
    private readonly HostWork _work = new();
    private readonly BlockPool _pool = new();
    private readonly ChannelSet _multifd;
    private Channel? _main;
    private MainStreamWriter? _writer;
    private readonly MultifdSender? _multifdSender;
    private IPageSender? _pages;
    private IDirtyTracker? _tracker;
    private readonly QemuCompatibility _peer;
    private readonly SendLimit? _limit;
    private readonly SendLimit? _postcopyLimit;
    private readonly PostcopySwitch _switch;
    private ChannelAddress? _destination;
    private ZeroPageRecords? _zeroRecords;
    private Task<uint>? _returnPath;
    private int _rounds;

    public SourceSession(
        IMigratableGuest guest,
        MigrationSourceOptions options,
        PostcopySwitch postcopySwitch,
        LinkRequests linkRequests,
        IProgress<MigrationProgress>? progress,
        ILogger logger,
        TimeProvider time)
    {
        _multifd = new ChannelSet(options.MultifdChannels);
        _guest = guest;
        _options = options;
        _logger = logger;
        _time = time;
        _clock = new PhaseClock(time);
        _progress = new ProgressMeter(progress, _clock);
        _peer = QemuCompatibility.Of(options.DestinationMachineType ?? guest.MachineName, options.DestinationQemuVersion);
        _limit = options.MaxBytesPerSecond is { } rate ? new SendLimit(rate, time, _failure.Token) : null;
        _switch = postcopySwitch;
        _linkRequests = linkRequests;
        _custody = new SourceCustody(guest, time);
        _postcopy = options.Postcopy
            ? new PostcopyHandover(guest.Memory, _custody, options, _peer, _pool, time, OnPong, OnVmStarted)
            : null;
        _postcopyLimit = options.MaxPostcopyBytesPerSecond is { } background ? new SendLimit(background, time, _failure.Token) : null;
        _multifdSender = options.MultifdChannels > 0 ? new MultifdSender(options.MultifdChannels, _pool, options.CompressionSettings)
            : null;
    }

    /// <summary>The channels that are there now. Timers read this at any moment.</summary>
    private IReadOnlyList<Channel> Channels
    {
        get
        {
            var (main, preempt) = (_main, _postcopy?.Preempt);
            return [.. main is null ? (Channel[])[] : [main], .. _multifd.Now, .. preempt is null ? (Channel[])[] : [preempt]];
        }
    }

    private long NormalPages => (_pages?.NormalPages ?? 0) + (_postcopy?.NormalPages ?? 0);

    private long ZeroPages => (_pages?.ZeroPages ?? 0) + (_postcopy?.ZeroPages ?? 0);

    private long SentBytes => _lostLinksBytes + Channels.Sum(static channel => channel.BytesSent);

    /// <summary>A number that changes with every sign of life, for a <see cref="StallWatch"/>.</summary>
    private long Progress() =>
        _work.Count(SentBytes + (_limit?.Pauses ?? 0) + Volatile.Read(ref _pongs) + (_postcopy?.Requests ?? 0));

    public async Task<MigrationReport> RunAsync(ChannelAddress destination, CancellationToken cancellationToken)
    {
        using var stopped = _failure.Token.Register(AbortChannels);
        using var cancelled = cancellationToken.Register(Cancel);
        using var stall = StallWatch.Start(_time, _options.EffectiveStallTimeout, Progress, OnStall);
        using var liveness = PeerLiveness.Start(() => Channels, _options.Sockets.AcknowledgementTimeout, _time);
        using var timer = _progress.IsWanted ? _time.CreateTimer(_ => Report(), null, _options.ProgressInterval, _options.ProgressInterval)
            : null;
        try
        {
            MigrationLog.Starting(_logger, destination.ToString(), _options.MultifdChannels, _guest.Memory.TotalBytes);
            await ConnectAsync(destination).ConfigureAwait(false);
            await SetUpAsync().ConfigureAwait(false);
            var remaining = await PrecopyAsync().ConfigureAwait(false);
            if (DecideForPostcopy())
            {
                await PostcopyAsync(remaining, stall, liveness, cancellationToken).ConfigureAwait(false);
            }
            else
            {
                await SwitchOverAsync(remaining).ConfigureAwait(false);
                // From here on nothing moves until the destination has committed; a time limit of its own covers that.
                stall?.Dispose();
                await HandOverAsync().ConfigureAwait(false);
            }

            var report = Complete();
            await CloseAsync().ConfigureAwait(false);
            return report;
        }
        catch (Exception failure)
        {
            throw await EndAsync(failure, cancellationToken).ConfigureAwait(false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        var teardown = new Teardown();
        teardown.Run(AbortChannels);
        await teardown.RunAsync(() => _multifdSender?.StopAsync() ?? Task.CompletedTask).ConfigureAwait(false);
        if (_returnPath is not null)
        {
            // The abort ends the read of the return path. Only after that may the blocks that it reads into be returned to the pool.
            await ((Task)_returnPath).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await teardown.RunAsync(() => _postcopy?.StopAsync() ?? Task.CompletedTask).ConfigureAwait(false);
        foreach (var channel in Channels)
        {
            await teardown.RunAsync(() => channel.DisposeAsync().AsTask()).ConfigureAwait(false);
        }

        teardown.Run(() => _postcopy?.Dispose());
        teardown.Run(() => _zeroRecords?.Dispose());
        teardown.Run(() => _tracker?.Dispose());
        _failure.Dispose();
        MigrationLog.CheckReturned(_logger, _pool);
        teardown.Run(_pool.Dispose);
        if (teardown.Failure is { } failure)
        {
            MigrationLog.TeardownFailed(_logger, failure.Message, failure);
        }
    }

    private void Enter(MigrationPhase phase)
    {
        if (_clock.Enter(phase))
        {
            MigrationLog.Phase(_logger, phase);
            Report();
        }
    }

    private void Report() => _progress.Report(() => new MigrationProgress
    {
        Phase = _clock.Phase,
        Round = _rounds,
        TransferredBytes = SentBytes,
        NormalPages = NormalPages,
        ZeroPages = ZeroPages,
        RemainingPages = _postcopy?.PagesLeft ?? Math.Max(0, _roundPages - (_feed?.Taken ?? 0)),
        IsPaused = _linkIsLost,
        IsRecovering = _recovering,
        PauseReason = _pauseReason,
        WaitingFor = WaitingFor,
        Owner = _custody.Owner,
        DirtyBytesPerSecond = _dirtyPagesPerSecond * TargetPage.Size,
        ExpectedDowntime = _expectedDowntime,
    });

    private async Task SetUpAsync()
    {
        Enter(MigrationPhase.Setup);
        var writer = _writer!;
        writer.WriteRaw(_guest.EarlySections.Span);
        writer.BeginRam(_guest.Memory, _postcopy is null ? null : _postcopy.HostPages.SizeOf);
        await SyncAsync(writer).ConfigureAwait(false);
        writer.EndSection();
        await writer.FlushAsync(_failure.Token).ConfigureAwait(false);
    }

    private MigrationReport Complete()
    {
        var duration = _clock.Elapsed;
        Enter(MigrationPhase.Completed);
        var report = new MigrationReport
        {
            Duration = duration,
            Downtime = _downtime,
            Rounds = _rounds,
            TransferredBytes = SentBytes,
            NormalPages = NormalPages,
            ZeroPages = ZeroPages,
            Owner = _custody.Owner,
            VmStartedMessages = Volatile.Read(ref _vmStartedMessages),
            Postcopy = _postcopy?.Report(_recoveries),
            Phases = _clock.Finished(),
            Channels = [.. Channels.Select(Describe)],
        };
        MigrationMetrics.Completed(report);
        MigrationLog.Completed(_logger, report.Duration, report.Downtime, report.Rounds, report.TransferredBytes);
        return report;
    }

    private ChannelReport Describe(Channel channel, int index)
    {
        var kind = index == 0 ? ChannelKind.Main : index <= _multifd.Now.Count ? ChannelKind.Multifd : ChannelKind.Preempt;
        return new ChannelReport(kind, kind == ChannelKind.Multifd ? index - 1 : 0, channel.Peer, channel.BytesSent);
    }
}
