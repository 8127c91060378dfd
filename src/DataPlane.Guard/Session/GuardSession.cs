using DataPlane.Admission;
using DataPlane.Guard.Entrance;
using DataPlane.Guard.Order;
using DataPlane.Guard.Qmp;
using DataPlane.Guard.Relay;
using DataPlane.Guard.ReturnPath;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>
/// The session of one guarded migration: it takes events one at a time and gives each to the part whose business it is.
/// <code>
/// Waiting --(main and all multifd are there: forwarded in one go)--> Relaying --(return path)--> Postcopy
///    ^  '--(one of them went: QEMU untouched, all anew)                    |                          |  ^
///    '------'                                                   main ended |     main ended, no SHUT  v  | RESUME_ACK
///                                                                          v                    Paused --(recovered main)--> Recovering
///                                                          Completed or Failed &lt;-- SHUT, QEMU gone
/// </code>
/// </summary>
internal sealed class GuardSession : IAsyncDisposable
{
    private readonly string _name;
    private readonly QemuMonitor? _monitor;
    private readonly ILogger _logger;
    private readonly SessionTasks _tasks = new();
    private readonly SessionEvents _events;
    private readonly SessionState _state;
    private readonly QemuStatuses _statuses;
    private readonly CurrentLink _current = new();
    private readonly RelayEngine _relays;
    private readonly QemuDialer _dialer;
    private readonly PublicListener _listener;
    private readonly GuardChannels _shown;
    private readonly MigrationOutcome _outcome;
    private readonly PostcopyTurns _postcopy;
    private readonly PreemptEnd _preemptEnd;
    private readonly IMigrationChannels _channels;

    private bool _isRetiring; // the session's loop alone uses it

    /// <summary>Puts the parts together. Each gets what it needs, and none knows the session.</summary>
    internal GuardSession(
        GuardedVmOptions options, QemuTarget target, QemuMonitor? monitor, KnownBlocks blocks, TimeProvider time, ILogger logger)
    {
        _name = options.Name;
        _monitor = monitor;
        _logger = logger;
        _events = new SessionEvents(_tasks, time);
        _state = new SessionState(_name, time, logger);
        _statuses = new QemuStatuses(_events, _name, logger);
        _relays = new RelayEngine(RelayEngine.DefaultWorkers,
            relay => _events.Post(new GuardEvent.RelayEnded(relay)), e => _events.Post(new GuardEvent.Broken(e)));
        var loss = new LossTiming(_name, target, _state, _statuses, _current, _relays, _tasks, time, logger);
        var requests = new PageRequests();
        var host = new GuardAdmissionHost(requests, blocks, ForwardingOrder.NeedsPreemptEnd(target))
        {
            LinkIsLost = () => loss.LinkIsLost,
        };
        _listener = new PublicListener(options, target, host, time, logger);
        _shown = new GuardChannels(_relays, options.Sockets.AcknowledgementTimeout, time);
        _outcome = new MigrationOutcome(
            options, _state, _current, monitor, _statuses, _relays, _shown, _listener, _events, logger);
        _postcopy = new PostcopyTurns(target, _state, _current, host, requests, _relays, _listener, _outcome);
        _preemptEnd = new PreemptEnd(options, target, _state, _current, host, _listener, _events, time);
        _dialer = new QemuDialer(options, target, monitor, time, logger);
        // All that follows gives QEMU its connections through this, whatever it is.
        IQemuEntrance entrance = new RelayedEntrance(_dialer, _relays, monitor, options.TlsHandshakeTimeout, time);
        _channels = target.Tls ? Tls() : Plain();

        TlsChannels Tls()
        {
            var queue = new TlsQueue(options, target, entrance, _shown, _listener, _tasks, _events, time, logger);
            return new TlsChannels(
                monitor is not null, _state, _current, host, _statuses, _shown, queue, loss, _postcopy, _outcome);
        }

        PlainChannels Plain()
        {
            var links = new LinkOpener(
                _name, _current, entrance, _shown, requests, host, _listener, loss, _preemptEnd, _events, logger);
            var set = new ChannelSet(1 + target.Channels, options.UndecidedTimeout, time);
            var forwarding = new SetForwarding(
                _name, target, _state, host, _listener, links, entrance, _outcome, AskBlocksAgain, logger);
            var assembly = new SetAssembly(options, set, forwarding, _shown, _listener, _events, logger);
            var join = new PreemptJoin(_name, _current, _relays, requests, host, logger);
            var recovery = new PlainRecovery(target, monitor is not null, _state, _current, host, _statuses, _relays, _shown, links,
                entrance, _postcopy, _outcome, time);
            return new PlainChannels(_state, _current, _listener, assembly, join, recovery, _postcopy, _outcome);
        }

        void AskBlocksAgain()
        {
            // Memory may have been plugged in since QEMU was asked first. Nobody waits for the answer.
            if (target.Postcopy && monitor is not null)
            {
                _ = _tasks.Run(ending => monitor.AskBlocksAsync(blocks, ending));
            }
        }
    }

    internal GuardState State => _state.Current;

    internal string? Failure => _state.Failure;

    internal PublicListener Listener => _listener;

    internal async ValueTask OpenAsync()
    {
        await _listener.OpenAsync().ConfigureAwait(false);
        if (_monitor is not null)
        {
            _ = _tasks.Run(WatchMonitorAsync);
        }
    }

    /// <summary>Returns the channels, with rates over the time since the previous call. Any thread.</summary>
    internal IReadOnlyList<GuardChannel> Channels() => _shown.Snapshot();

    /// <summary>Takes a status of QEMU's migration, on the monitor's reader.</summary>
    internal void ReportStatus(string status) => _statuses.Report(status);

    /// <summary>Ends the session as soon as no migration is under way. Any thread.</summary>
    internal void Retire() => _events.Post(new GuardEvent.Retired());

    internal void Stop()
    {
        if (!_state.IsOver)
        {
            _state.Enter(GuardState.Stopped);
        }
    }

    /// <summary>
    /// Takes events until the migration has ended and nothing of it is left, or until the session is disposed of.
    /// </summary>
    internal async Task<GuardState> RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            var inbox = new SessionInbox(_events, _listener);
            await using var ends = inbox.ConfigureAwait(false);
            while (await inbox.NextAsync(cancellationToken).ConfigureAwait(false) is { } next)
            {
                if (_tasks.Ending.IsCancellationRequested)
                {
                    next.Drop();
                    break;
                }

                await TakeOrFailAsync(next, cancellationToken).ConfigureAwait(false);
                if (IsOver())
                {
                    break;
                }
            }
        }
        catch (Exception) when (_tasks.Ending.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            // The session was disposed of while an event was taken, and with it what that event needed.
        }

        return _state.IsOver ? State : GuardState.Stopped;
    }

    public async ValueTask DisposeAsync()
    {
        await _tasks.CancelAsync().ConfigureAwait(false);
        await _listener.CloseForGoodAsync().ConfigureAwait(false);
        _shown.Dispose();
        _relays.Dispose();
        await _listener.DisposeAsync().ConfigureAwait(false);
        await _tasks.DisposeAsync().ConfigureAwait(false);
        _dialer.Dispose();
        _events.Close();
    }

    private async Task WatchMonitorAsync(CancellationToken cancellationToken)
    {
        await _monitor!.Ended.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _events.Post(new GuardEvent.MonitorEnded());
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
            await _outcome.FailAsync(e).ConfigureAwait(false);
        }
    }

    private async ValueTask TakeAsync(GuardEvent next, CancellationToken cancellationToken)
    {
        switch (next)
        {
            case GuardEvent.Admitted admitted:
                await AdmitAsync(admitted.Channel, cancellationToken).ConfigureAwait(false);
                break;
            case GuardEvent.Introduced or GuardEvent.HeldForLong:
                await _channels.TakeAsync(next).ConfigureAwait(false);
                break;
            case GuardEvent.RelayEnded { Relay: var relay }:
                GuardLog.RelayEnded(_logger, _name, relay.Name, relay.Peer, relay.Ending, MigrationOutcome.ErrorOf(relay));
                await _channels.TakeEndAsync(relay).ConfigureAwait(false);
                break;
            case GuardEvent.ReturnPathNews news:
                await TakeNewsAsync(news.Type, news.Value).ConfigureAwait(false);
                break;
            case GuardEvent.Status status:
                await TakeStatusAsync(status.Text).ConfigureAwait(false);
                break;
            case GuardEvent.MainStreamEnded ended:
                _preemptEnd.Take(ended);
                break;
            case GuardEvent.MonitorEnded:
                await _outcome.TakeMonitorEndAsync().ConfigureAwait(false);
                break;
            case GuardEvent.TimeUp up:
                await _outcome.TakeTimeUpAsync(up).ConfigureAwait(false);
                break;
            case GuardEvent.Retired:
                _isRetiring = true;
                break;
            case GuardEvent.Broken broken:
                await _outcome.FailAsync(broken.Cause).ConfigureAwait(false);
                break;
        }
    }

    /// <summary>
    /// Takes an admitted channel. One that cannot be served, because the guard has no descriptors, no memory or no thread, or has a fault,
    /// costs at most the attempt that it belongs to.
    /// </summary>
    private async ValueTask AdmitAsync(AdmittedChannel channel, CancellationToken cancellationToken)
    {
        try
        {
            if (!await _channels.AdmitAsync(channel, cancellationToken).ConfigureAwait(false))
            {
                GuardLog.Surplus(_logger, _name, channel.Kind, channel.Peer);
                channel.Dispose();
            }
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            GuardLog.NotTaken(_logger, _name, channel.Kind, channel.Peer, e.Message);
            channel.Dispose();
            await _channels.GiveUpAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask TakeNewsAsync(ReturnPathType type, uint value)
    {
        switch (type)
        {
            case ReturnPathType.Shut:
                _current.Link?.Shut = value;
                if (value == 0)
                {
                    await _outcome.CompleteAsync().ConfigureAwait(false);
                }

                break;
            case ReturnPathType.Pong when State == GuardState.Relaying:
            case ReturnPathType.RequestPages or ReturnPathType.RequestPagesWithName when State == GuardState.Relaying:
            case ReturnPathType.ResumeAck when State == GuardState.Recovering:
                _postcopy.Begin();
                break;
        }
    }

    private async ValueTask TakeStatusAsync(string status)
    {
        if (await _channels.TakeStatusAsync(status).ConfigureAwait(false))
        {
            return;
        }

        if (status is "postcopy-active" or "postcopy-device" && State == GuardState.Relaying)
        {
            _postcopy.Begin();
        }
        else
        {
            await _outcome.TakeStatusAsync(status).ConfigureAwait(false);
        }
    }

    /// <summary>Whether nothing more can come of this session. A guard that retires ends where no migration is under way.</summary>
    private bool IsOver()
    {
        if (_isRetiring && State == GuardState.Waiting && _channels.IsIdle)
        {
            _state.Enter(GuardState.Stopped);
            return true;
        }

        if (!_state.IsOver)
        {
            return false;
        }

        _channels.DropWaiting();
        return _relays.Relays == 0;
    }
}
