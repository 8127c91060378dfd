using DataPlane.Guard.Relay;

namespace DataPlane.Guard.Session;

/// <summary>
/// Decides when QEMU is told that its link is lost. A QEMU (7.2 to 11.1) whose main channel ends before its preempt thread reads the
/// preempt channel closes that channel, and the thread then reads from a channel that does not exist: SIGSEGV, and the guest is gone. QEMU
/// is open to this for a few milliseconds after each recovery. So the guard passes a loss on when QEMU has read a byte from the preempt
/// channel.
/// </summary>
internal sealed partial class GuardSession
{
    /// <summary>
    /// The whole wait where nothing shows what QEMU has read (TCP, TLS that ends in QEMU), and the longest wait while a recovery is not
    /// complete: the thread may not have been woken yet. With two bare QEMUs 10.0 a loss at once killed the destination after 3 of 118
    /// recoveries, and a loss 20 ms later after none of 240.
    /// </summary>
    private static readonly TimeSpan s_blindLoss = TimeSpan.FromSeconds(1);

    /// <summary>The longest wait for a preempt thread that has been woken, on a host with too few cores.</summary>
    private static readonly TimeSpan s_readingLimit = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan s_lookForReading = TimeSpan.FromMilliseconds(1);

    /// <summary>The pause between looks after the first twenty: the host is short of cores then, and looking must not take them.</summary>
    private static readonly TimeSpan s_lookSeldom = TimeSpan.FromMilliseconds(20);

    private const int QuickLooks = 20;

    private long _postcopySince;

    private LossNotice? NewLossNotice(ChannelRelay main) => _target.Preempt ? new LossNotice(() => AwaitPreemptReadAsync(main)) : null;

    /// <summary>
    /// Whether a lost main channel makes QEMU pause: not before the switch, and not when everything has been sent. The return path may tell
    /// of the switch before the monitor does.
    /// </summary>
    private bool WouldPause =>
        (State == GuardState.Recovering || _host.IsPostcopy
            || (_qemuStatus is { } status && status.StartsWith("postcopy-", StringComparison.Ordinal)))
        && _tap is not { HasShut: true } && _mainEnd is not { HasCome: true };

    /// <summary>
    /// Waits until QEMU has read from its preempt channel, within a limit. Starts on the relay's thread. Never looks at a channel of a
    /// later link.
    /// </summary>
    private async Task AwaitPreemptReadAsync(ChannelRelay main)
    {
        var begin = _time.GetTimestamp();
        ChannelRelay? preempt = null;
        for (var looks = 0; !main.IsOver && WouldPause; looks++)
        {
            // The order matters: a recovery sets its main channel before its preempt channel.
            if (preempt is null && _target.Address.IsUnix && _preempt is { IsOver: false } open && _main == main)
            {
                preempt = open;
            }

            if (preempt is { IsOver: true })
            {
                preempt = null;
            }

            if (preempt is not null && await _relays.IsReadAsync(preempt, main).ConfigureAwait(false))
            {
                return;
            }

            if (preempt is null && State == GuardState.Postcopy
                && _time.GetElapsedTime(Volatile.Read(ref _postcopySince)) >= s_readingLimit)
            {
                return; // the preempt thread has had time enough
            }

            var limit = preempt is not null && State == GuardState.Postcopy ? s_readingLimit : s_blindLoss;
            if (_time.GetElapsedTime(begin) >= limit)
            {
                if (preempt is not null)
                {
                    GuardLog.PreemptUnread(_logger, _options.Name, limit.TotalSeconds);
                }

                return;
            }

            await Task.Delay(looks < QuickLooks ? s_lookForReading : s_lookSeldom, _time, _ending.Token).ConfigureAwait(false);
        }
    }
}
