using DataPlane.Admission;
using DataPlane.MainStream;
using DataPlane.Migration.Custody;
using DataPlane.Multifd;
using DataPlane.Transport;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration;

/// <summary>One migration at its destination: it admits channels, reads main and multifd side by side, and commits the guest.</summary>
internal sealed partial class DestinationSession : IAsyncDisposable
{
    private readonly ChannelAdmission _admission;
    private readonly DestinationAdmissionHost _host;
    private readonly IIncomingGuest _guest;
    private readonly MigrationDestinationOptions _options;
    private readonly ILogger _logger;
    private readonly TimeProvider _time;
    private readonly PhaseClock _clock;
    private readonly ProgressMeter _progress;
    private readonly FirstCause _failure = new();
    private readonly CancellationTokenSource _over = new(); // cancelled last: a guest that is ours outlives failures
    private readonly BlockPool _pool;
    private readonly MultifdReceiver _multifd;
    private readonly StagingBudget _staging;
    private readonly List<AdmittedChannel> _channels = [];
    private readonly Lock _channelsGate = new();
    private readonly TaskCompletionSource<Channel> _mainAdmitted = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private MainStreamReader? _reader;
    private ReturnPathSender? _returnPath;
    private bool _returnPathOpen;
    private readonly DestinationCustody _custody;
    private long _ramComplete;

    public DestinationSession(
        ChannelAdmission admission,
        DestinationAdmissionHost host,
        IIncomingGuest guest,
        MigrationDestinationOptions options,
        IProgress<MigrationProgress>? progress,
        BlockPool pool,
        ILogger logger,
        TimeProvider time)
    {
        _admission = admission;
        _host = host;
        _pool = pool;
        _guest = guest;
        _custody = new DestinationCustody(guest);
        _options = options;
        _logger = logger;
        _time = time;
        _clock = new PhaseClock(time);
        _progress = new ProgressMeter(progress, _clock);
        _staging = new StagingBudget(options.MaxStagingBytes);
        _multifd = new MultifdReceiver(options.MultifdChannels, _pool, options.Compression, _staging);
    }

    private long ReceivedBytes => Admitted().Sum(static one => one.Channel.BytesReceived);

    private long NormalPages => _multifd.NormalPages + (_reader?.NormalPages ?? 0) + (_postcopy?.DataPages ?? 0);

    private long ZeroPages => _multifd.ZeroPages + (_reader?.ZeroPages ?? 0) + (_postcopy?.ZeroPages ?? 0);

    public async Task<MigrationReport> RunAsync(CancellationToken cancellationToken)
    {
        using var stopped = _failure.Token.Register(AbortChannels);
        using var cancelled = cancellationToken.Register(Cancel);
        using var stall = StallWatch.Start(_time, _options.EffectiveStallTimeout, ProgressCount, OnStall);
        using var liveness = PeerLiveness.Start(
            () => Admitted().Select(static one => one.Channel), _options.Sockets.AcknowledgementTimeout, _time);
        using var timer = _progress.IsWanted ? _time.CreateTimer(_ => Report(), null, _options.ProgressInterval, _options.ProgressInterval)
            : null;
        StartSetup();
        _admitting = AdmitAsync();
        _ = WatchMultifdAsync();
        try
        {
            var main = await _mainAdmitted.Task.WaitAsync(_failure.Token).ConfigureAwait(false);
            _returnPath = new ReturnPathSender(main.Output);
            _reader = new MainStreamReader(new StreamCursor(main.Input, main.Name), _returnPath, StreamOptions(), this);
            var devices = await _reader.ReadAsync(_failure.Token).ConfigureAwait(false);
            if (_reader.SwitchPings is { } pings)
            {
                return await RunPostcopyAsync(main, devices, pings, stall).ConfigureAwait(false);
            }

            stall?.Dispose();
            await CommitAsync(main, devices).ConfigureAwait(false);
            return await StartAsync(main, Complete()).ConfigureAwait(false);
        }
        catch (Exception failure)
        {
            throw await EndAsync(failure, cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _failure.Record(new OperationCanceledException());
            await _over.CancelAsync().ConfigureAwait(false);
            await _admitting.ConfigureAwait(false);
            await _progress.DrainAsync().ConfigureAwait(false);
        }
    }

    public async ValueTask DisposeAsync()
    {
        var teardown = new Teardown();
        await teardown.RunAsync(EndPostcopyAsync).ConfigureAwait(false);
        await teardown.RunAsync(() => _multifd.AbortAsync(_failure.Cause ?? new OperationCanceledException())).ConfigureAwait(false);
        foreach (var admitted in Admitted())
        {
            await teardown.RunAsync(() => admitted.Channel.DisposeAsync().AsTask()).ConfigureAwait(false);
        }

        teardown.Run(() => _setup?.Dispose());
        teardown.Run(() => _returnPath?.Dispose());
        _failure.Dispose();
        _over.Dispose();
        MigrationLog.CheckReturned(_logger, _pool);
        if (teardown.Failure is { } failure)
        {
            MigrationLog.TeardownFailed(_logger, failure.Message, failure);
        }
    }

    private MainStreamOptions StreamOptions() => new()
    {
        Multifd = _options.MultifdChannels > 0,
        MaxRamBytes = _options.MaxRamBytes,
        MaxDeviceStateBytes = _options.MaxDeviceStateBytes,
        Postcopy = _options.Postcopy ? this : null,
    };

    /// <summary>Takes channels as they come until the migration ends. Main may be the last of them.</summary>
    private async Task AdmitAsync()
    {
        try
        {
            while (true)
            {
                var admitted = await _admission.AcceptAsync(_over.Token).ConfigureAwait(false);
                if (admitted.Epoch != Epoch)
                {
                    admitted.Dispose(); // it belongs to a set that was given up
                    _host.NoteHanded();
                    continue;
                }

                if (!admitted.Recovered || admitted.Kind != ChannelKind.Main)
                {
                    Add(admitted); // a recovered main is added once it has proved to be the source's
                }

                Hand(admitted);
                _host.NoteHanded();
            }
        }
        catch (OperationCanceledException)
        {
            // The migration is over.
        }
        catch (Exception failure)
        {
            _failure.Record(failure);
        }
    }

    private void Add(AdmittedChannel admitted)
    {
        if (admitted.Kind == ChannelKind.Multifd)
        {
            admitted.Channel.CountConsumed(MultifdInit.Size);
        }

        MigrationLog.ChannelAdmitted(_logger, admitted.Channel.Name, admitted.Channel.Peer);
        lock (_channelsGate)
        {
            if (_channels.Count == 0)
            {
                _clock.Restart();
            }

            _channels.Add(admitted);
        }

        NoteAdmitted();
        if (_failure.Token.IsCancellationRequested && _postcopy is not { OutlivesLinks: true })
        {
            admitted.Channel.Abort();
        }
    }

    private AdmittedChannel[] Admitted()
    {
        lock (_channelsGate)
        {
            return [.. _channels];
        }
    }

    private void AbortChannels()
    {
        if (_postcopy is { OutlivesLinks: true })
        {
            return; // the guest is nowhere else, or is being fetched: its link must not end for this
        }

        _postcopy?.Break(_failure.Cause ?? new OperationCanceledException());

        // EndAsync aborts main, after it has told the source.
        foreach (var admitted in Admitted())
        {
            if (admitted.Kind != ChannelKind.Main)
            {
                admitted.Channel.Abort();
            }
        }

        _multifd.Barrier.Fail(_failure.Cause ?? new OperationCanceledException());
    }

    private void Cancel()
    {
        if (_custody.On(DestinationEvent.Cancelled) == DestinationVerdict.LetGo)
        {
            _failure.Record(new OperationCanceledException("the migration was cancelled"));
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
        TransferredBytes = ReceivedBytes,
        NormalPages = NormalPages,
        ZeroPages = ZeroPages,
        IsPaused = _postcopy is { IsPaused: true },
        PauseReason = _pause?.Message,
        WaitingFor = _clock.Phase < MigrationPhase.Switchover ? AwaitedChannels.Describe(Admitted(), _options.MultifdChannels) : null,
        Owner = _custody.Owner,
        OwnershipUnknown = _postcopy is { IsPaused: true, Proof.IsMissing: true },
    });
}
