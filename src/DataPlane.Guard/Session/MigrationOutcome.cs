using DataPlane.Guard.Qmp;
using DataPlane.Guard.Relay;
using DataPlane.Linux;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>Decides how the migration ends, and ends it once. Only the session's loop uses it.</summary>
internal sealed class MigrationOutcome(
    GuardedVmOptions options,
    SessionState state,
    CurrentLink current,
    QemuMonitor? monitor,
    QemuStatuses statuses,
    RelayEngine relays,
    GuardChannels channels,
    PublicListener listener,
    SessionEvents events,
    ILogger logger)
{
    private const string NotLoaded = "QEMU could not load the migration";

    private int _waits;
    private bool _awaitsVerdict;

    private string QemuGone =>
        state.Current is GuardState.Waiting or GuardState.Relaying ? "QEMU is gone" : "QEMU is gone, and the guest with it";

    public static string Describe(ChannelRelay relay) => relay.Ending switch
    {
        RelayEnding.ClientLost => $"the source's {relay.Name} channel was lost{(relay.Errno == 0 ? "" : $": {ErrorOf(relay)}")}",
        RelayEnding.QemuLost => $"QEMU closed the {relay.Name} channel before its end",
        _ => $"the {relay.Name} channel ended before QEMU said that it has everything",
    };

    public static string ErrorOf(ChannelRelay relay) => relay.Errno == 0 ? "" : Errno.Describe(relay.Errno);

    public async ValueTask CompleteAsync()
    {
        if (state.IsOver)
        {
            return;
        }

        state.Enter(GuardState.Completed);
        _awaitsVerdict = false;
        if (current.Link?.UnusedPreempt is { } unused)
        {
            relays.Abort(unused);
        }

        Wait(options.DrainTimeout);
        await listener.CloseAsync().ConfigureAwait(false);
    }

    public async ValueTask FailAsync(string reason)
    {
        if (state.IsOver || state.Current == GuardState.Stopped)
        {
            return;
        }

        GuardLog.Failed(logger, options.Name, reason);
        state.Enter(GuardState.Failed, reason);
        _awaitsVerdict = false;
        channels.AbortAll();
        await listener.CloseAsync().ConfigureAwait(false);
    }

    public ValueTask FailAsync(Exception cause) =>
        FailAsync(cause is QmpException ? cause.Message : $"the guard broke: {cause.Message}");

    /// <summary>Ends the migration if QEMU is gone, as far as its monitor shows. Returns whether it was.</summary>
    public async ValueTask<bool> FailIfQemuIsGoneAsync()
    {
        if (monitor is not { Ended.IsCompleted: true })
        {
            return false;
        }

        await FailAsync(QemuGone).ConfigureAwait(false);
        return true;
    }

    /// <summary>
    /// Finds out how the migration ended. Without a return path QEMU sends nothing at the end of the stream, so only its monitor knows.
    /// </summary>
    public async ValueTask AwaitVerdictAsync()
    {
        if (monitor is null || statuses.Latest == "completed")
        {
            await CompleteAsync().ConfigureAwait(false);
        }
        else if (statuses.Latest == "failed" || monitor.Ended.IsCompleted)
        {
            await FailAsync(NotLoaded).ConfigureAwait(false);
        }
        else
        {
            _awaitsVerdict = true;
            Wait(options.MonitorTimeout);
        }
    }

    /// <summary>Waits no longer for QEMU to say how the migration ended, because it is paused and goes on.</summary>
    public void ForgetVerdict()
    {
        if (_awaitsVerdict)
        {
            _awaitsVerdict = false;
            _waits++; // the time limit of that wait must not end the link that follows
        }
    }

    public async ValueTask TakeStatusAsync(string status)
    {
        if (_awaitsVerdict && status == "completed")
        {
            await CompleteAsync().ConfigureAwait(false);
        }
        else if (status == "failed" && (_awaitsVerdict || state.Current == GuardState.Paused))
        {
            await FailAsync(NotLoaded).ConfigureAwait(false);
        }
    }

    public async ValueTask TakeMonitorEndAsync()
    {
        if (state.Current is GuardState.Waiting or GuardState.Paused || _awaitsVerdict)
        {
            await FailAsync(QemuGone).ConfigureAwait(false);
        }
        else
        {
            Wait(options.DrainTimeout); // the channels show how QEMU ended; they get time for it
        }
    }

    public async ValueTask TakeTimeUpAsync(GuardEvent.TimeUp up)
    {
        if (up.Wait != _waits)
        {
            return; // another wait has begun since
        }

        if (_awaitsVerdict)
        {
            await FailAsync("QEMU has not said how the migration ended").ConfigureAwait(false);
        }
        else if (state.IsUnderWay)
        {
            await FailAsync(QemuGone).ConfigureAwait(false);
        }
        else
        {
            channels.AbortAll();
        }
    }

    /// <summary>Posts <see cref="GuardEvent.TimeUp"/> after a while; only the last such wait counts.</summary>
    private void Wait(TimeSpan delay) => events.PostLater(new GuardEvent.TimeUp(++_waits), delay);
}
