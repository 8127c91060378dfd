using DataPlane.Guard.Order;
using DataPlane.Guard.Relay;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>
/// Decides when QEMU is told that its link is lost. A QEMU (7.2 to 11.1) whose main channel ends before its preempt thread reads the
/// preempt channel closes that channel, and the thread then reads from a channel that does not exist: SIGSEGV, and the guest is gone. QEMU
/// is open to this for a few milliseconds after each recovery. So the guard passes a loss on when QEMU has read a byte from the preempt
/// channel. Thread-safe.
/// </summary>
internal sealed class LossTiming(
    string name,
    QemuTarget target,
    SessionState state,
    QemuStatuses statuses,
    CurrentLink current,
    RelayEngine relays,
    SessionTasks tasks,
    TimeProvider time,
    ILogger logger)
{
    private const int QuickLooks = 20;

    /// <summary>
    /// The whole wait where nothing shows what QEMU has read (TCP, TLS that ends in QEMU), and the longest wait while a recovery is not
    /// complete: the thread may not have been woken yet. With two bare QEMUs 10.0 a loss at once killed the destination after 3 of 118
    /// recoveries, and a loss 20 ms later after none of 240.
    /// </summary>
    private static readonly TimeSpan s_blindLimit = TimeSpan.FromSeconds(1);

    /// <summary>The longest wait for a preempt thread that has been woken, on a host with too few cores.</summary>
    private static readonly TimeSpan s_readingLimit = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan s_quickLook = TimeSpan.FromMilliseconds(1);

    /// <summary>
    /// The pause between looks after the first <see cref="QuickLooks"/>: the host is short of cores then, and looking must not take them.
    /// </summary>
    private static readonly TimeSpan s_slowLook = TimeSpan.FromMilliseconds(20);

    /// <summary>
    /// Whether the link is lost and the migration not paused yet, because QEMU is still to be told or the session still to hear of it.
    /// </summary>
    public bool LinkIsLost => current.Link is { HasLostMain: true } link && WouldPause(link);

    /// <summary>Returns what holds the loss of a link's main channel back; null where QEMU may be told at once.</summary>
    public LossNotice? NoticeFor(GuardedLink link) =>
        target.Preempt ? new LossNotice(() => tasks.Run(ending => AwaitPreemptReadAsync(link, ending))) : null;

    /// <summary>
    /// Whether a lost main channel makes QEMU pause: not before the switch, and not when everything has been sent. The return path may tell
    /// of the switch before the monitor does.
    /// </summary>
    private bool WouldPause(GuardedLink link) =>
        (state.Current is GuardState.Postcopy or GuardState.Recovering || statuses.IsInPostcopy) && !link.IsAtItsEnd;

    /// <summary>Waits until QEMU has read from its preempt channel, within a limit. Starts on the relay's thread.</summary>
    private async Task AwaitPreemptReadAsync(GuardedLink link, CancellationToken cancellationToken)
    {
        var begin = time.GetTimestamp();
        for (var looks = 0; !link.Main.IsOver && WouldPause(link); looks++)
        {
            // A link has its main channel before it has a preempt channel.
            var preempt = target.Address.IsUnix && link.Preempt is { IsOver: false } open ? open : null;
            if (preempt is not null && await relays.IsReadAsync(preempt, link.Main).ConfigureAwait(false))
            {
                return;
            }

            if (preempt is null && state.TimeIn(GuardState.Postcopy) >= s_readingLimit)
            {
                return; // the preempt thread has had time enough
            }

            var limit = preempt is not null && state.Current == GuardState.Postcopy ? s_readingLimit : s_blindLimit;
            if (time.GetElapsedTime(begin) >= limit)
            {
                if (preempt is not null)
                {
                    GuardLog.PreemptUnread(logger, name, limit.TotalSeconds);
                }

                return;
            }

            await Task.Delay(looks < QuickLooks ? s_quickLook : s_slowLook, time, cancellationToken).ConfigureAwait(false);
        }
    }
}
