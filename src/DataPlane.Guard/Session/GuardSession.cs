using DataPlane.Guard.Entrance;
using DataPlane.Guard.Qmp;
using DataPlane.Guard.Relay;
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
/// <remarks><see cref="GuardSessionParts"/> puts the parts together. None of them knows the session.</remarks>
internal sealed class GuardSession(
    string name,
    SessionState state,
    SessionTasks tasks,
    SessionEvents events,
    QemuStatuses statuses,
    CurrentLink current,
    RelayEngine relays,
    IQemuEntrance entrance,
    PublicListener listener,
    GuardChannels shown,
    IMigrationChannels channels,
    PreemptEnd preemptEnd,
    PostcopyTurns postcopy,
    MigrationOutcome outcome,
    ILogger logger) : IAsyncDisposable
{
    private bool _isRetiring; // the session's loop alone uses it

    public GuardState State => state.Current;

    public string? Failure => state.Failure;

    public PublicListener Listener => listener;

    /// <summary>Opens the public listeners.</summary>
    /// <param name="monitor">QEMU's monitor, whose end is an event; null where there is none.</param>
    /// <exception cref="IOException">An address cannot be listened on.</exception>
    public async ValueTask OpenAsync(QemuMonitor? monitor)
    {
        await listener.OpenAsync().ConfigureAwait(false);
        if (monitor is not null)
        {
            _ = tasks.Run(ending => WatchAsync(monitor, ending));
        }
    }

    /// <summary>Returns the channels, with rates over the time since the previous call. Any thread.</summary>
    public IReadOnlyList<GuardChannel> Channels() => shown.Snapshot();

    /// <summary>Takes a status of QEMU's migration, on the monitor's reader.</summary>
    public void ReportStatus(string status) => statuses.Report(status);

    /// <summary>Ends the session as soon as no migration is under way. Any thread.</summary>
    public void Retire() => events.Post(new GuardEvent.Retired());

    public void Stop()
    {
        if (!state.IsOver)
        {
            state.Enter(GuardState.Stopped);
        }
    }

    /// <summary>
    /// Takes events until the migration has ended and nothing of it is left, or until the session is disposed of.
    /// </summary>
    public async Task<GuardState> RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            var inbox = new SessionInbox(events, listener.NextAsync);
            await using var ends = inbox.ConfigureAwait(false);
            while (await inbox.NextAsync(cancellationToken).ConfigureAwait(false) is { } next)
            {
                if (tasks.Ending.IsCancellationRequested)
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
        catch (Exception) when (tasks.Ending.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            // The session was disposed of while an event was taken, and with it what that event needed.
        }

        return state.IsOver ? State : GuardState.Stopped;
    }

    public async ValueTask DisposeAsync()
    {
        await tasks.CancelAsync().ConfigureAwait(false);
        await listener.CloseForGoodAsync().ConfigureAwait(false);
        shown.Dispose();
        relays.Dispose();
        await listener.DisposeAsync().ConfigureAwait(false);
        await tasks.DisposeAsync().ConfigureAwait(false);
        entrance.Dispose();
        events.Close();
    }

    private async Task WatchAsync(QemuMonitor monitor, CancellationToken cancellationToken)
    {
        await monitor.Ended.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        events.Post(new GuardEvent.MonitorEnded());
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
            await outcome.FailAsync(e).ConfigureAwait(false);
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
                await channels.TakeAsync(next).ConfigureAwait(false);
                break;
            case GuardEvent.RelayEnded { Relay: var relay }:
                GuardLog.RelayEnded(logger, name, relay.Name, relay.Peer, relay.Ending, MigrationOutcome.ErrorOf(relay));
                await channels.TakeEndAsync(relay).ConfigureAwait(false);
                break;
            case GuardEvent.ReturnPathNews news:
                await TakeNewsAsync(news.Type, news.Value).ConfigureAwait(false);
                break;
            case GuardEvent.Status status:
                await TakeStatusAsync(status.Text).ConfigureAwait(false);
                break;
            case GuardEvent.MainStreamEnded ended:
                preemptEnd.Take(ended);
                break;
            case GuardEvent.MonitorEnded:
                await outcome.TakeMonitorEndAsync().ConfigureAwait(false);
                break;
            case GuardEvent.TimeUp up:
                await outcome.TakeTimeUpAsync(up).ConfigureAwait(false);
                break;
            case GuardEvent.Retired:
                _isRetiring = true;
                break;
            case GuardEvent.Broken broken:
                await outcome.FailAsync(broken.Cause).ConfigureAwait(false);
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
            if (!await channels.AdmitAsync(channel, cancellationToken).ConfigureAwait(false))
            {
                GuardLog.Surplus(logger, name, channel.Kind, channel.Peer);
                channel.Dispose();
            }
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            GuardLog.NotTaken(logger, name, channel.Kind, channel.Peer, e.Message);
            channel.Dispose();
            await channels.GiveUpAsync().ConfigureAwait(false);
        }
    }

    private async ValueTask TakeNewsAsync(ReturnPathType type, uint value)
    {
        switch (type)
        {
            case ReturnPathType.Shut:
                current.Link?.Shut = value;
                if (value == 0)
                {
                    await outcome.CompleteAsync().ConfigureAwait(false);
                }

                break;
            case ReturnPathType.Pong when State == GuardState.Relaying:
            case ReturnPathType.RequestPages or ReturnPathType.RequestPagesWithName when State == GuardState.Relaying:
            case ReturnPathType.ResumeAck when State == GuardState.Recovering:
                postcopy.Begin();
                break;
        }
    }

    private async ValueTask TakeStatusAsync(string status)
    {
        if (await channels.TakeStatusAsync(status).ConfigureAwait(false))
        {
            return;
        }

        if (status is "postcopy-active" or "postcopy-device" && State == GuardState.Relaying)
        {
            postcopy.Begin();
        }
        else
        {
            await outcome.TakeStatusAsync(status).ConfigureAwait(false);
        }
    }

    /// <summary>Whether nothing more can come of this session. A guard that retires ends where no migration is under way.</summary>
    private bool IsOver()
    {
        if (_isRetiring && State == GuardState.Waiting && channels.IsIdle)
        {
            state.Enter(GuardState.Stopped);
            return true;
        }

        if (!state.IsOver)
        {
            return false;
        }

        channels.DropWaiting();
        return relays.Relays == 0;
    }
}
