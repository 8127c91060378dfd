using DataPlane.Guard.Relay;

namespace DataPlane.Guard.Course;

/// <summary>
/// When QEMU hears that its link is lost. A QEMU (7.2 to 11.1) whose main channel ends before its preempt thread reads the preempt channel
/// closes that channel, and the thread then reads from one that is not there: SIGSEGV, and the guest is gone. It is open to this for a few
/// milliseconds after each recovery. So the guard tells QEMU of a loss when QEMU has read a byte from the preempt channel.
/// </summary>
internal sealed partial class GuardCourse
{
    /// <summary>
    /// The whole wait where nothing tells what QEMU has read (TCP, TLS that ends in QEMU), and the longest while a recovery is not
    /// complete: the thread may not have been woken yet. With two bare QEMUs 10.0 a loss at once killed the destination after 3 of 118
    /// recoveries, and a loss 20 ms later after none of 240.
    /// </summary>
    private static readonly TimeSpan s_blindLoss = TimeSpan.FromSeconds(1);

    /// <summary>Longest wait for a thread that has been woken, on a host with too few cores.</summary>
    private static readonly TimeSpan s_readingLimit = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan s_lookForReading = TimeSpan.FromMilliseconds(1);

    /// <summary>After twenty looks the host is short of cores, and looking must not take them.</summary>
    private static readonly TimeSpan s_lookSeldom = TimeSpan.FromMilliseconds(20);

    private const int QuickLooks = 20;

    private long _postcopySince;

    private LossNotice? NewLossNotice(ChannelRelay main) => _target.Preempt ? new LossNotice(() => AwaitPreemptReadAsync(main)) : null;

    /// <summary>
    /// Whether a lost main channel makes QEMU pause: not before the switch, and not when everything has been said. The return path may tell
    /// of the switch before the monitor does.
    /// </summary>
    private bool WouldPause =>
        (State == GuardState.Recovering || _context.IsPostcopy
            || (_qemuStatus is { } status && status.StartsWith("postcopy-", StringComparison.Ordinal)))
        && _tap is not { HasShut: true } && _mainEnd is not { HasCome: true };

    /// <summary>From the relay's thread on. A channel of the link after this one is never looked at.</summary>
    private async Task AwaitPreemptReadAsync(ChannelRelay main)
    {
        var begin = _time.GetTimestamp();
        ChannelRelay? preempt = null;
        for (var looks = 0; !main.IsOver && WouldPause; looks++)
        {
            // In this order: the main channel of a recovery is set before its preempt channel.
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
                return; // its thread has had its time long ago
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
