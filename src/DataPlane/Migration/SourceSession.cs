using DataPlane.Admission;
using DataPlane.MainStream;
using DataPlane.Memory;
using DataPlane.Multifd;
using DataPlane.Transport;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration;

/// <summary>One migration seen from its source: connect, set up, rounds of pages, hand-over.</summary>
internal sealed partial class SourceSession : IAsyncDisposable
{
    private readonly IMigratableGuest _guest;
    private readonly MigrationSourceOptions _options;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly PhaseClock _clock;
    private readonly ProgressMeter _progress;
    private readonly FirstCause _failure = new();
    private readonly BlockPool _pool = new();
    private readonly List<Channel> _multifd = [];
    private Channel? _main;
    private MainStreamWriter? _writer;
    private readonly MultifdSender? _multifdSender;
    private IPageSender? _pages;
    private IDirtyTracker? _tracker;
    private readonly PeerDialect _dialect;
    private readonly SendLimit? _limit;
    private ZeroPageRecords? _zeroRecords;
    private Task<uint>? _returnPath;
    private int _rounds;

    public SourceSession(
        IMigratableGuest guest,
        MigrationSourceOptions options,
        IProgress<MigrationProgress>? progress,
        ILogger logger,
        TimeProvider time)
    {
        _guest = guest;
        _options = options;
        _logger = logger;
        _time = time;
        _clock = new PhaseClock(time);
        _progress = new ProgressMeter(progress, _clock);
        _dialect = PeerDialect.Of(options.Machine ?? guest.MachineName, options.Peer);
        _limit = options.MaxBytesPerSecond is { } rate ? new SendLimit(rate, time, _failure.Token) : null;
        _multifdSender = options.MultifdChannels > 0 ? new MultifdSender(options.MultifdChannels, _pool) : null;
    }

    private IEnumerable<Channel> Channels => _main is null ? _multifd : _multifd.Prepend(_main);

    private long SentBytes => Channels.Sum(static channel => channel.BytesSent);

    public async Task<MigrationReport> RunAsync(ChannelAddress destination, CancellationToken cancellationToken)
    {
        using var stopped = _failure.Token.Register(AbortChannels);
        using var cancelled = cancellationToken.Register(Cancel);
        using var stall = StallWatch.Start(_time, _options.StallTimeout, () => SentBytes + (_limit?.Pauses ?? 0) + _pongs, OnStall);
        using var timer = _progress.IsWanted ? _time.CreateTimer(_ => Report(), null, _options.ProgressInterval, _options.ProgressInterval) : null;
        try
        {
            MigrationLog.Starting(_logger, destination.ToString(), _options.MultifdChannels, _guest.Memory.TotalBytes);
            await ConnectAsync(destination).ConfigureAwait(false);
            await SetUpAsync().ConfigureAwait(false);
            var remaining = await PrecopyAsync().ConfigureAwait(false);
            await SwitchOverAsync(remaining).ConfigureAwait(false);
            // From here on nothing moves until the destination has committed: that has a time limit of its own.
            stall?.Dispose();
            await HandOverAsync().ConfigureAwait(false);
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
        AbortChannels();
        if (_multifdSender is not null)
        {
            await _multifdSender.StopAsync().ConfigureAwait(false);
        }

        if (_returnPath is not null)
        {
            // The abort ends its read; only then may the blocks that it reads into go back.
            await ((Task)_returnPath).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        foreach (var channel in Channels)
        {
            await channel.DisposeAsync().ConfigureAwait(false);
        }

        _zeroRecords?.Dispose();
        _tracker?.Dispose();
        _failure.Dispose();
        MigrationLog.CheckReturned(_logger, _pool);
        _pool.Dispose();
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
        NormalPages = _pages?.NormalPages ?? 0,
        ZeroPages = _pages?.ZeroPages ?? 0,
        RemainingPages = Math.Max(0, _roundPages - (_feed?.Taken ?? 0)),
        DirtyBytesPerSecond = _dirtyPagesPerSecond * TargetPage.Size,
        ExpectedDowntime = _expectedDowntime,
    });

    /// <summary>
    /// Main first with its header, for which destinations from 8.0 on wait, then all multifd channels at once, each with its init packet:
    /// the order that every destination understands (1-channels section 1.7).
    /// </summary>
    private async Task ConnectAsync(ChannelAddress destination)
    {
        _clock.Restart();
        _main = await ChannelDialer.ConnectAsync(destination, _options.Channels, "main", 0, _pool, _failure.Token).ConfigureAwait(false);
        _writer = new MainStreamWriter(_main.Output, _main.Name);
        await OpenAsync(_writer).ConfigureAwait(false);
        if (_multifdSender is not null)
        {
            await ConnectMultifdAsync(destination).ConfigureAwait(false);
            _zeroRecords = _dialect.ZeroPages == ZeroPagePlace.Main ? new ZeroPageRecords(_main, _pool) : null;
            _multifdSender.Attach(_multifd, _zeroRecords, _limit);
            _pages = _multifdSender;
        }
        else
        {
            _pages = new MainPageSender(_main, _pool, _limit);
        }
    }

    private async Task OpenAsync(MainStreamWriter writer)
    {
        writer.WriteHeader(new ConfigurationSection { MachineName = _guest.MachineName, Uuid = _guest.ValidatesUuid ? _guest.Uuid : null });
        writer.WriteOpenReturnPath();
        writer.WritePing(OpeningPing);
        await writer.FlushAsync(_failure.Token).ConfigureAwait(false);
        _returnPath = ListenAsync();
    }

    private async Task ConnectMultifdAsync(ChannelAddress destination)
    {
        var dials = Enumerable.Range(0, _options.MultifdChannels).Select(id => ConnectMultifdAsync(destination, id)).ToArray();
        try
        {
            await Task.WhenAll(dials).ConfigureAwait(false);
        }
        finally
        {
            foreach (var dial in dials.Where(static dial => dial.IsCompletedSuccessfully))
            {
                _multifd.Add(await dial.ConfigureAwait(false));
            }
        }
    }

    private async Task<Channel> ConnectMultifdAsync(ChannelAddress destination, int id)
    {
        var channel = await ChannelDialer.ConnectAsync(destination, _options.Channels, $"multifd {id}", id + 1, _pool, _failure.Token).ConfigureAwait(false);
        MultifdSender.Introduce(channel, _guest.Uuid, (byte)id, _pool);
        return channel;
    }

    private async Task SetUpAsync()
    {
        Enter(MigrationPhase.Setup);
        var writer = _writer!;
        writer.WriteRaw(_guest.EarlySections.Span);
        writer.BeginRam(_guest.Memory);
        await SyncAsync(writer).ConfigureAwait(false);
        writer.EndSection();
        await writer.FlushAsync(_failure.Token).ConfigureAwait(false);
    }

    private void AbortChannels()
    {
        foreach (var channel in Channels)
        {
            channel.Abort();
        }
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
            NormalPages = _pages!.NormalPages,
            ZeroPages = _pages.ZeroPages,
            Phases = _clock.Finished(),
            Channels = [.. Channels.Select((channel, index) => new ChannelReport(
                index == 0 ? ChannelKind.Main : ChannelKind.Multifd, Math.Max(0, index - 1), channel.Peer, channel.BytesSent))],
        };
        MigrationMetrics.Completed(report);
        MigrationLog.Completed(_logger, report.Duration, report.Downtime, report.Rounds, report.TransferredBytes);
        return report;
    }

    /// <summary>Ends the channels as a source does after the destination's word: multifd first, then main.</summary>
    private async Task CloseAsync()
    {
        if (_multifdSender is not null)
        {
            await _multifdSender.StopAsync().ConfigureAwait(false);
        }

        await Task.WhenAll(_multifd.Select(channel => channel.CloseAsync(s_closeTimeout, CancellationToken.None).AsTask())).ConfigureAwait(false);
        await _main!.CloseAsync(s_closeTimeout, CancellationToken.None).ConfigureAwait(false);
    }
}
