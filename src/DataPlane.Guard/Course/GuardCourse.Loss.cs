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

    private LossNotice? NewLossNotice() => _target.Preempt ? new LossNotice(AwaitPreemptReadAsync) : null;

    /// <summary>Whether a lost main channel makes QEMU pause: not before the switch, and not when everything has been said.</summary>
    private bool WouldPause =>
        (_monitor is null ? _context.IsPostcopy : _qemuStatus is { } status && status.StartsWith("postcopy-", StringComparison.Ordinal))
        && _tap is not { HasShut: true } && _mainEnd is not { HasCome: true };

    /// <summary>From the relay's thread on.</summary>
    private async Task AwaitPreemptReadAsync()
    {
        long begin = _time.GetTimestamp();
        while (WouldPause)
        {
            ChannelRelay? preempt = _target.Address.IsUnix && _preempt is { Ending: RelayEnding.None } open ? open : null;
            if (preempt is not null && await _relays.IsReadAsync(preempt).ConfigureAwait(false))
                return;
            TimeSpan limit = preempt is not null && State == GuardState.Postcopy ? s_readingLimit : s_blindLoss;
            if (_time.GetElapsedTime(begin) >= limit)
            {
                GuardLog.PreemptUnread(_logger, _options.Name, limit.TotalSeconds);
                return;
            }

            await Task.Delay(s_lookForReading, _time, _ending.Token).ConfigureAwait(false);
        }
    }
}
