using DataPlane.Guard.Entrance;
using DataPlane.Guard.Order;
using DataPlane.Guard.Relay;
using DataPlane.Transport;

namespace DataPlane.Guard.Session;

/// <summary>
/// Hands main and preempt to a paused QEMU again, as soon as QEMU has noticed that its old channels are gone. Only the session's loop uses
/// it.
/// </summary>
internal sealed class PlainRecovery(
    QemuTarget target,
    bool hasMonitor,
    SessionState state,
    CurrentLink current,
    GuardAdmissionHost host,
    QemuStatuses statuses,
    RelayEngine relays,
    GuardChannels channels,
    LinkOpener links,
    IQemuEntrance entrance,
    PostcopyTurns postcopy,
    MigrationOutcome outcome,
    TimeProvider time)
{
    /// <summary>The longest wait for QEMU to notice that its link is gone, before a recovery connects anyway.</summary>
    private static readonly TimeSpan s_pauseNotice = TimeSpan.FromSeconds(3);

    /// <summary>The time that QEMU gets to notice that its link is gone where no monitor can confirm it.</summary>
    private static readonly TimeSpan s_blindNotice = TimeSpan.FromSeconds(1);

    /// <summary>Begins the next link with a main channel that begins with a recovery command.</summary>
    public async ValueTask RecoverAsync(AdmittedChannel channel, CancellationToken cancellationToken)
    {
        await AwaitPauseAsync(cancellationToken).ConfigureAwait(false);
        statuses.BeginLink();
        var main = channels.Hold(ChannelKind.Main, 0, channel.Channel);
        main.Claim();
        var link = links.Begin(main, out var watch);
        state.Enter(GuardState.Recovering);
        host.IsPaused = false;
        try
        {
            await entrance.EnterAsync(main, channel.Consumed, watch, isRecovery: true, cancellationToken).ConfigureAwait(false);
            if (target.Preempt)
            {
                await links.OpenPreemptAsync(link, cancellationToken).ConfigureAwait(false);
            }
        }
        // What the guard lacks now it may have at the next attempt, and the guest waits for that.
        catch (ChannelException e) when (!Shortage.Is(e))
        {
            await outcome.FailAsync($"QEMU cannot be recovered: {e.Message}").ConfigureAwait(false);
        }
    }

    /// <summary>Gives up a recovery. QEMU pauses again when the main channel that it may have had is closed.</summary>
    public async ValueTask GiveUpAsync()
    {
        if (current.Link is { } link)
        {
            relays.Abort(link.Main);
        }

        await postcopy.PauseAsync().ConfigureAwait(false);
    }

    private async ValueTask AwaitPauseAsync(CancellationToken cancellationToken)
    {
        try
        {
            await statuses.HasPaused.WaitAsync(hasMonitor ? s_pauseNotice : s_blindNotice, time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            // The recovery goes on without it.
        }
    }
}
