using System.Threading.Channels;
using DataPlane.Admission;
using DataPlane.Guard.Order;
using DataPlane.Guard.Qmp;
using DataPlane.Guard.Relay;
using DataPlane.Guard.ReturnPath;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>
/// The session of one guarded migration: it takes events one at a time and decides what follows.
/// <code>
/// Waiting --(main and all multifd are there: forwarded in one go)--> Relaying --(return path)--> Postcopy
///    ^  '--(one of them went: QEMU untouched, all anew)                    |                          |  ^
///    '------'                                                   main ended |     main ended, no SHUT  v  | RESUME_ACK
///                                                                          v                    Paused --(recovered main)--> Recovering
///                                                          Completed or Failed &lt;-- SHUT, QEMU gone
/// </code>
/// </summary>
internal sealed partial class GuardSession : IAsyncDisposable
{
    private readonly GuardedVmOptions _options;
    private readonly QemuTarget _target;
    private readonly QemuMonitor? _monitor;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Channel<GuardEvent> _events;
    private readonly PageRequests _requests = new();
    private readonly KnownBlocks _blockList;
    private readonly GuardAdmissionHost _host;
    private readonly PublicListener _listener;
    private readonly RelayEngine _relays;
    private readonly TlsSessions _sessions;
    private readonly RefusalThrottle _keptOut;
    private readonly CancellationTokenSource _ending = new();

    private volatile int _state = (int)GuardState.Waiting;
    private volatile string? _failure;
    private int _waits;
    private bool _isOver;
    private bool _isRetiring;

    internal GuardSession(
        GuardedVmOptions options,
        QemuTarget target,
        QemuMonitor? monitor,
        KnownBlocks blockList,
        Channel<GuardEvent> events,
        TimeProvider time,
        ILogger logger)
    {
        _options = options;
        _target = target;
        _monitor = monitor;
        _events = events;
        _time = time;
        _logger = logger;
        _sessions = new TlsSessions(target, options.AnyPeer);
        _keptOut = new RefusalThrottle(time);
        _blockList = blockList;
        _host = new GuardAdmissionHost(_requests, blockList, ForwardingOrder.NeedsPreemptEnd(target))
        {
            LinkIsLost = () => WouldPause && _main is { } main
                && (main.IsLosing || main.State is GuardChannelState.HalfClosed or GuardChannelState.Closed),
        };
        _listener = new PublicListener(options, target, _host, events.Writer, time, logger);
        _relays = new RelayEngine(RelayEngine.DefaultWorkers,
            relay => Post(new GuardEvent.RelayEnded(relay)), e => Post(new GuardEvent.Broken(e)));
    }

    internal GuardState State => (GuardState)_state;

    internal string? Failure => _failure;

    internal PublicListener Listener => _listener;

    internal void Open()
    {
        _listener.Open();
        if (_monitor is not null)
        {
            _ = WatchAsync(_monitor);
        }
    }

    /// <summary>
    /// Takes events until the migration has ended and nothing of it is left, or until the session is disposed of.
    /// </summary>
    internal async Task<GuardState> RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            while (!_isOver && await _events.Reader.WaitToReadAsync(cancellationToken).ConfigureAwait(false)
                && !_ending.IsCancellationRequested)
            {
                if (_events.Reader.TryRead(out var next))
                {
                    await TakeOrFailAsync(next, cancellationToken).ConfigureAwait(false);
                }
            }
        }
        catch (Exception) when (_ending.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            // The session was disposed of while an event was taken, and with it what that event needed.
        }

        return State is GuardState.Completed or GuardState.Failed ? State : GuardState.Stopped;
    }

    /// <summary>
    /// Takes an event. A fault that no step has foreseen ends the migration with its message, so that none stays without an end.
    /// </summary>
    private async ValueTask TakeOrFailAsync(GuardEvent next, CancellationToken cancellationToken)
    {
        try
        {
            await TakeAsync(next, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            await FailAsync(Describe(e)).ConfigureAwait(false);
        }

        FinishIfOver();
    }

    /// <summary>Ends the session as soon as no migration is under way. Any thread.</summary>
    internal void Retire() => Post(new GuardEvent.Retired());

    internal void Stop()
    {
        if (State is not (GuardState.Completed or GuardState.Failed))
        {
            Enter(GuardState.Stopped);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _ending.CancelAsync().ConfigureAwait(false);
        await _listener.CloseForGoodAsync().ConfigureAwait(false);
        _liveness?.Dispose();
        _relays.Dispose();
        await _listener.DisposeAsync().ConfigureAwait(false);
        await _introduction.ConfigureAwait(false);
        _events.Writer.TryComplete();
        while (_events.Reader.TryRead(out var left))
        {
            (left as GuardEvent.Admitted)?.Channel.Dispose();
            (left as GuardEvent.Introduced)?.Session.Qemu?.Abort();
        }

        _ending.Dispose();
    }

    private void Post(GuardEvent @event) => _events.Writer.TryWrite(@event);

    private async Task WatchAsync(QemuMonitor monitor)
    {
        await monitor.Ended.ConfigureAwait(false);
        Post(new GuardEvent.MonitorEnded());
    }

    private async ValueTask TakeAsync(GuardEvent @event, CancellationToken cancellationToken)
    {
        switch (@event)
        {
            case GuardEvent.Admitted admitted:
                await AdmitAsync(admitted, cancellationToken).ConfigureAwait(false);
                break;
            case GuardEvent.RelayEnded ended:
                await TakeEndAsync(ended.Relay).ConfigureAwait(false);
                break;
            case GuardEvent.Introduced introduced:
                await TakeIntroducedAsync(introduced.Session, cancellationToken).ConfigureAwait(false);
                break;
            case GuardEvent.ReturnPathNews news:
                await TakeNewsAsync(news.Type, news.Value).ConfigureAwait(false);
                break;
            case GuardEvent.Status status:
                await TakeStatusAsync(status.Text).ConfigureAwait(false);
                break;
            case GuardEvent.MainStreamEnded ended:
                TakeMainStreamEnd(ended);
                break;
            case GuardEvent.HeldForLong held:
                TakeHeldForLong(held);
                break;
            case GuardEvent.MonitorEnded:
                await TakeMonitorEndAsync().ConfigureAwait(false);
                break;
            case GuardEvent.TimeUp up when up.Wait == _waits:
                await TakeTimeUpAsync().ConfigureAwait(false);
                break;
            case GuardEvent.Retired:
                _isRetiring = true;
                break;
            case GuardEvent.Broken broken:
                await FailAsync(Describe(broken.Cause)).ConfigureAwait(false);
                break;
        }
    }

    private static string Describe(Exception cause) => cause is QmpException ? cause.Message : $"the guard broke: {cause.Message}";

    private void FinishIfOver()
    {
        // Channels are admitted by events too, so none can come in between.
        if (_isRetiring && State == GuardState.Waiting && _held.Count == 0 && _introduced is null)
        {
            Enter(GuardState.Stopped);
            _isOver = true;
        }

        if (State is GuardState.Completed or GuardState.Failed)
        {
            DropWaiting();
        }

        if (State is GuardState.Completed or GuardState.Failed && _relays.Relays == 0)
        {
            _isOver = true;
        }
    }

    private void Enter(GuardState state)
    {
        if (State == state)
        {
            return;
        }

        GuardLog.StateChanged(_logger, _options.Name, State, state);
        _state = (int)state;
    }

    /// <summary>Posts <see cref="GuardEvent.TimeUp"/> after a while; only the last such wait counts.</summary>
    private void Wait(TimeSpan delay)
    {
        _ = PostLaterAsync(new GuardEvent.TimeUp(++_waits), delay);
    }

    private async Task PostLaterAsync(GuardEvent @event, TimeSpan delay)
    {
        try
        {
            await Task.Delay(delay, _time, _ending.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Post(@event);
        }
        catch (Exception e)
        {
            Post(new GuardEvent.Broken(e)); // without a timer, whatever waits for this event would wait for ever
        }
    }

    private async ValueTask TakeNewsAsync(ReturnPathType type, uint value)
    {
        switch (type)
        {
            case ReturnPathType.Shut:
                _shut = value;
                if (value == 0)
                {
                    await CompleteAsync().ConfigureAwait(false);
                }

                break;
            case ReturnPathType.Pong when State == GuardState.Relaying:
            case ReturnPathType.RequestPages or ReturnPathType.RequestPagesWithName when State == GuardState.Relaying:
            case ReturnPathType.ResumeAck when State == GuardState.Recovering:
                EnterPostcopy();
                break;
        }
    }

    private void EnterPostcopy()
    {
        Volatile.Write(ref _postcopySince, _time.GetTimestamp());
        _host.IsPostcopy = true; // before anybody can see the state and act on it
        Enter(GuardState.Postcopy);
        _listener.Recheck();
    }
}
