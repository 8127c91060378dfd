using DataPlane.Guard.Order;
using DataPlane.Guard.Qmp;
using DataPlane.Guard.Relay;
using DataPlane.Linux;

namespace DataPlane.Guard.Session;

/// <summary>Decides what the end of a channel, or of QEMU, means for the migration.</summary>
internal sealed partial class GuardSession
{
    /// <summary>
    /// The number of <c>MIGRATION</c> events at which the migration is given up. A migration has a dozen, and each recovery four more.
    /// Thousands come only from a QEMU that its guest has taken over, and each costs a line of the log, and memory until it is handled.
    /// </summary>
    internal const int MaxStatuses = 10_000;

    /// <summary>The longest status in characters that is taken. The longest of QEMU's own has 21.</summary>
    private const int MaxStatusLength = 64;

    private int _statuses;
    private volatile TaskCompletionSource _qemuPaused = NewSignal();
    private volatile string? _qemuStatus;
    private volatile ChannelRelay? _main;
    private volatile ChannelRelay? _preempt;
    private uint? _shut;
    private bool _awaitsVerdict;

    /// <summary>
    /// Takes a status of QEMU's migration. It is called on the monitor's reader: a recovery waits for a status, which must not wait for the
    /// recovery.
    /// </summary>
    internal void ReportStatus(string status)
    {
        var said = Interlocked.Increment(ref _statuses);
        if (said == MaxStatuses)
        {
            Post(new GuardEvent.Broken(new QmpException($"QEMU has said {MaxStatuses} times where the migration stands")));
        }

        if (said >= MaxStatuses || status.Length > MaxStatusLength)
        {
            return;
        }

        GuardLog.QemuStatus(_logger, _options.Name, status);
        _qemuStatus = status;
        if (status == "postcopy-paused")
        {
            _qemuPaused.TrySetResult();
        }

        Post(new GuardEvent.Status(status));
    }

    private string QemuGone => State is GuardState.Waiting or GuardState.Relaying ? "QEMU is gone" : "QEMU is gone, and the guest with it";

    private static TaskCompletionSource NewSignal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async ValueTask TakeEndAsync(ChannelRelay relay)
    {
        GuardLog.RelayEnded(_logger, _options.Name, relay.Name, relay.Peer, relay.Ending, ErrorOf(relay));
        if (_target.Tls)
        {
            await TakeSessionEndAsync(relay).ConfigureAwait(false);
        }
        else if (_held.TryGetValue(new ForwardingStep(relay.Kind, relay.Id), out var held)
            && held.Relay == relay)
        {
            GiveSetUp(relay, $"{relay.Name} went before its migration was complete");
        }
        else if (relay == _main && State is GuardState.Relaying or GuardState.Postcopy or GuardState.Recovering)
        {
            await TakeMainEndAsync(relay).ConfigureAwait(false);
        }
    }

    private async ValueTask TakeMainEndAsync(ChannelRelay main)
    {
        if (_shut is { } reason and not 0)
        {
            await FailAsync($"QEMU gave the migration up (SHUT {reason})").ConfigureAwait(false);
        }
        else if (State is GuardState.Postcopy or GuardState.Recovering)
        {
            await PauseAsync().ConfigureAwait(false);
        }
        else if (main is { Ending: RelayEnding.Closed, QemuBytes: 0 })
        {
            await AwaitVerdictAsync().ConfigureAwait(false);
        }
        else
        {
            await FailAsync(Describe(main)).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Pauses the migration: the guest is at QEMU and waits for its pages, so its source may come again, and nobody else may.
    /// </summary>
    private async ValueTask PauseAsync()
    {
        if (_monitor is { Ended.IsCompleted: true })
        {
            await FailAsync(QemuGone).ConfigureAwait(false);
            return;
        }

        // First: from here on a page that comes may be one that the source owes from the lost link, and admission may let the recovery in
        // before the session hears of it.
        _host.MayAnswerLostLink = _target.Preempt;
        _host.IsPostcopy = false;
        _requests.Clear();
        if (_preempt is { } preempt)
        {
            _relays.Abort(preempt);
        }

        _preempt = null;
        _listener.ExpectRecovery();
        _host.IsPaused = true; // only when the places are free
        Enter(GuardState.Paused); // last: whoever sees this state may connect at once, and must find the listener ready
        _listener.Recheck();
    }

    /// <summary>
    /// Finds out how the migration ended. Without a return path QEMU sends nothing at the end of the stream, so only its monitor knows.
    /// </summary>
    private async ValueTask AwaitVerdictAsync()
    {
        if (_monitor is null || _qemuStatus == "completed")
        {
            await CompleteAsync().ConfigureAwait(false);
        }
        else if (_qemuStatus == "failed" || _monitor.Ended.IsCompleted)
        {
            await FailAsync("QEMU could not load the migration").ConfigureAwait(false);
        }
        else
        {
            _awaitsVerdict = true;
            Wait(_options.MonitorTimeout);
        }
    }

    private async ValueTask TakeStatusAsync(string status)
    {
        if (_target.Tls && await TakeSessionStatusAsync(status).ConfigureAwait(false))
        {
            return;
        }

        if (status is "postcopy-active" or "postcopy-device" && State == GuardState.Relaying)
        {
            EnterPostcopy();
        }
        else if (_awaitsVerdict && status == "completed")
        {
            await CompleteAsync().ConfigureAwait(false);
        }
        else if (status == "failed" && (_awaitsVerdict || State == GuardState.Paused))
        {
            await FailAsync("QEMU could not load the migration").ConfigureAwait(false);
        }
    }

    private async ValueTask TakeMonitorEndAsync()
    {
        if (State is GuardState.Waiting or GuardState.Paused || _awaitsVerdict)
        {
            await FailAsync(QemuGone).ConfigureAwait(false);
        }
        else
        {
            Wait(_options.DrainTimeout); // the channels show how QEMU ended; they get time for it
        }
    }

    private async ValueTask TakeTimeUpAsync()
    {
        if (_awaitsVerdict)
        {
            await FailAsync("QEMU has not said how the migration ended").ConfigureAwait(false);
        }
        else if (State is GuardState.Relaying or GuardState.Postcopy or GuardState.Recovering)
        {
            await FailAsync(QemuGone).ConfigureAwait(false);
        }
        else
        {
            AbortAll();
        }
    }

    private async ValueTask CompleteAsync()
    {
        if (State is GuardState.Completed or GuardState.Failed)
        {
            return;
        }

        Enter(GuardState.Completed);
        _awaitsVerdict = false;
        if (_preempt is { Client: null } unused)
        {
            _relays.Abort(unused);
        }

        Wait(_options.DrainTimeout);
        await _listener.CloseAsync().ConfigureAwait(false);
    }

    private async ValueTask FailAsync(string reason)
    {
        if (State is GuardState.Completed or GuardState.Failed or GuardState.Stopped)
        {
            return;
        }

        _failure = reason;
        GuardLog.Failed(_logger, _options.Name, reason);
        Enter(GuardState.Failed);
        _awaitsVerdict = false;
        AbortAll();
        await _listener.CloseAsync().ConfigureAwait(false);
    }

    private void AbortAll()
    {
        foreach (var relay in Views)
        {
            _relays.Abort(relay);
        }
    }

    private static string Describe(ChannelRelay relay) => relay.Ending switch
    {
        RelayEnding.ClientLost => $"the source's {relay.Name} channel was lost{(relay.Errno == 0 ? "" : $": {ErrorOf(relay)}")}",
        RelayEnding.QemuLost => $"QEMU closed the {relay.Name} channel before its end",
        _ => $"the {relay.Name} channel ended before QEMU said that it has everything",
    };

    private static string ErrorOf(ChannelRelay relay) => relay.Errno == 0 ? "" : Errno.Describe(relay.Errno);
}
