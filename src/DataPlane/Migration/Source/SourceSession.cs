using DataPlane.MainStream;
using DataPlane.Migration.Custody;
using DataPlane.Multifd;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration.Source;

/// <summary>
/// One migration at its source, as a sequence of stages: it connects, sets up, sends rounds of pages, and hands the guest over, by precopy
/// or by postcopy.
/// </summary>
/// <remarks>
/// What it sends depends on the destination where <see cref="Wire.QemuCompatibility"/> says so. This is the same for all: main connects
/// first and sends its header at once, then all multifd channels connect; the return path is opened and a PING is sent; SYNC packets carry
/// no pages, and none is sent without a mark; a SWITCHOVER_ACK is accepted and not waited for; the multifd channels end before main, after
/// the destination's SHUT.
/// </remarks>
internal sealed class SourceSession : IAsyncDisposable
{
    private readonly SourcePlan _plan;
    private readonly PostcopySwitch _switch;
    private readonly LinkRequests _requests;
    private readonly BlockPool _pool = new();
    private readonly HostWork _work = new();
    private readonly RoundFigures _figures = new();
    private readonly SourcePause _pause = new();
    private readonly PhaseClock _clock;
    private readonly ProgressMeter _meter;
    private readonly SourceCustody _custody;
    private readonly SourceFailure _failure;
    private readonly SourceLinks _links;
    private readonly LinkDialer _dialer;
    private readonly DestinationAnswers _answers;
    private readonly PostcopySender? _postcopy;
    private readonly SendLimit? _limit;
    private readonly IPageSender _pages;
    private readonly SourceProgress _progress;
    private RamSections? _sections;
    private PrecopyRounds? _rounds;

    public SourceSession(
        SourcePlan plan, PostcopySwitch postcopySwitch, LinkRequests linkRequests, IProgress<MigrationProgress>? progress)
    {
        var options = plan.Options;
        _plan = plan;
        _switch = postcopySwitch;
        _requests = linkRequests;
        _clock = new PhaseClock(plan.Time);
        _meter = new ProgressMeter(progress, _clock);
        _custody = new SourceCustody(plan.Guest, plan.Time);
        _failure = new SourceFailure(_custody);
        _links = new SourceLinks(options.MultifdChannels);
        _dialer = new LinkDialer(options, _links, _pool);
        _answers = new DestinationAnswers(_custody, plan.Logger);
        _postcopy = options.Postcopy ? CreatePostcopy() : null;
        _limit = LimitTo(options.MaxBytesPerSecond);
        _pages = options.MultifdChannels > 0 ? new MultifdSender(options.MultifdChannels, _pool, options.CompressionSettings)
            : new MainPageSender(_pool, _limit);
        _progress = new SourceProgress(
            plan, _clock, _meter, _links, _answers, _pages, _figures, _postcopy, _pause, _custody);
    }

    public async Task<MigrationReport> RunAsync(CancellationToken cancellationToken)
    {
        using var stopped = _failure.Stopped.Register(_links.Abort);
        using var cancelled = cancellationToken.Register(_failure.Cancel);
        using var watch = new SourceWatch(_plan, _links, _answers, _postcopy, _limit, _work, _failure);
        using var timer = StartReports();
        var end = new SourceEnd(_plan, _links, _postcopy, _pages, _custody, _failure, _clock);
        try
        {
            MigrationLog.Starting(
                _plan.Logger, _plan.Destination.ToString(), _plan.Options.MultifdChannels, _plan.Guest.Memory.TotalBytes);
            _clock.Restart();
            var connector = new SourceConnector(_plan, _dialer, _links, _answers, _postcopy, _failure, _pool);
            var link = await connector.ConnectAsync(_work).ConfigureAwait(false);
            _sections = new RamSections(link, _links.Multifd, _pages, _limit, _plan.Peer, _pool, _failure.Stopped);
            await _progress.EnterAsync(MigrationPhase.Setup).ConfigureAwait(false);
            await _sections.SetUpAsync(_plan.Guest, _postcopy is null ? null : _postcopy.HostPages.SizeOf).ConfigureAwait(false);
            _rounds = new PrecopyRounds(_plan, _sections, _figures, _progress);
            var remaining = await _rounds.RunAsync(_postcopy is null ? null : _switch).ConfigureAwait(false);
            var stop = new GuestStop(_plan.Guest, _custody, _work, _progress, _failure.Stopped);
            TimeSpan downtime;
            if (_postcopy is { } sender && EndsByPostcopy(_rounds))
            {
                var switchover = new PostcopySwitchover(
                    _plan, link, connector, stop, sender, _answers, watch, _custody, _failure);
                var devices = await switchover.RunAsync(_rounds, remaining).ConfigureAwait(false);
                downtime = await Follow(sender, watch).RunAsync(link, devices, cancellationToken).ConfigureAwait(false);
            }
            else
            {
                var handover = new PrecopyHandover(
                    _plan, link, _sections, _rounds, stop, _answers, watch, _custody, _failure, _progress);
                downtime = await handover.RunAsync(remaining).ConfigureAwait(false);
            }

            var report = await CompleteAsync(downtime).ConfigureAwait(false);
            await end.CloseAsync().ConfigureAwait(false);
            return report;
        }
        catch (Exception failure)
        {
            throw await end.FailAsync(failure, _rounds, cancellationToken).ConfigureAwait(false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        var teardown = new Teardown();
        teardown.Run(_links.Abort);
        await teardown.RunAsync(_pages.StopAsync).ConfigureAwait(false);
        if (_links.Current is { } link)
        {
            // The abort ends the read of the return path. Only after that may the blocks that it reads into be returned to the pool.
            await ((Task)link.ReturnPath).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await teardown.RunAsync(() => _postcopy?.DisposeAsync().AsTask() ?? Task.CompletedTask).ConfigureAwait(false);
        foreach (var channel in _links.Channels)
        {
            await teardown.RunAsync(() => channel.DisposeAsync().AsTask()).ConfigureAwait(false);
        }

        teardown.Run(() => _sections?.Dispose());
        teardown.Run(() => _rounds?.Dispose());
        _failure.Dispose();
        MigrationLog.CheckReturned(_plan.Logger, _pool);
        teardown.Run(_pool.Dispose);
        if (teardown.Failure is { } failure)
        {
            MigrationLog.TeardownFailed(_plan.Logger, failure.Message, failure);
        }
    }

    /// <summary>
    /// Whether the migration ends by postcopy, as it does when it was requested or when the guest stood still from the beginning.
    /// </summary>
    private bool EndsByPostcopy(PrecopyRounds rounds) => !rounds.GuestRan || !_switch.TryClose();

    private PostcopyPhase Follow(PostcopySender sender, SourceWatch watch)
    {
        var recovery = new SourceRecovery(_plan, _dialer, _links, sender, _requests, _pause, _custody, _progress, _clock);
        return new PostcopyPhase(_plan, sender, recovery, _requests, watch, _custody, _progress, _clock);
    }

    private PostcopySender CreatePostcopy()
    {
        var options = _plan.Options;
        var timing = _plan.Peer.TakesPreemptAtSwitch(options.MultifdChannels) ? PreemptTiming.AtSwitch : PreemptTiming.WithMain;
        var settings = new PostcopySenderOptions(new HostPages(_plan.Guest.Memory, options.HostPageSizes))
        {
            Preempt = options.Preempt ? timing : null,
            Limit = LimitTo(options.MaxPostcopyBytesPerSecond),
            RepeatsRecovery = _plan.Peer.RepeatsRecovery,
        };
        return new PostcopySender(_plan.Guest.Memory, settings, _pool, _plan.Time, _answers);
    }

    private SendLimit? LimitTo(long? bytesPerSecond) =>
        bytesPerSecond is { } rate ? new SendLimit(rate, _plan.Time, _failure.Stopped) : null;

    private ITimer? StartReports() => !_meter.IsWanted ? null : _plan.Time.CreateTimer(
        _ => _progress.Report(), null, _plan.Options.ProgressInterval, _plan.Options.ProgressInterval);

    private async Task<MigrationReport> CompleteAsync(TimeSpan downtime)
    {
        var duration = _clock.Elapsed;
        await _progress.EnterAsync(MigrationPhase.Completed).ConfigureAwait(false);
        var report = new MigrationReport
        {
            Duration = duration,
            Downtime = downtime,
            Rounds = _figures.Rounds,
            TransferredBytes = _links.SentBytes,
            NormalPages = _progress.NormalPages,
            ZeroPages = _progress.ZeroPages,
            Owner = _custody.Owner,
            VmStartedMessages = _answers.VmStartedMessages,
            Postcopy = _postcopy is { PackageBytes: > 0 } sender ? Describe(sender) : null,
            Phases = _clock.Finished(),
            Channels = [.. _links.Channels.Select(Describe)],
        };
        MigrationMetrics.Completed(report);
        MigrationLog.Completed(_plan.Logger, report.Duration, report.Downtime, report.Rounds, report.TransferredBytes);
        return report;
    }

    private PostcopyReport Describe(PostcopySender sender) => new()
    {
        StartDelay = sender.StartDelay,
        PackageBytes = sender.PackageBytes,
        Requests = sender.Totals.Requests,
        RequestedPages = sender.Totals.Requested,
        Recoveries = _pause.Recoveries,
    };

    private ChannelReport Describe(Channel channel, int index)
    {
        var kind = index == 0 ? ChannelKind.Main : index <= _links.Multifd.Now.Count ? ChannelKind.Multifd : ChannelKind.Preempt;
        return new ChannelReport(kind, kind == ChannelKind.Multifd ? index - 1 : 0, channel.Peer, channel.BytesSent);
    }
}
