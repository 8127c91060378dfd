using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Postcopy;

/// <summary>
/// Waits for the end of a link, and finds out whether everything has arrived that the source had to send on it. Used by one flow of
/// control; any thread may read <see cref="SourceHasEnded"/>.
/// </summary>
/// <param name="ledger">The record of the pages that are here and of those that are asked for.</param>
/// <param name="settings">Whether there may be a preempt channel.</param>
/// <param name="events">Is told that pages are lost although the link stands.</param>
/// <param name="logger">Takes the log events.</param>
/// <param name="stop">Ends the wait.</param>
internal sealed class LinkEnd(
    PageLedger ledger, PostcopyReceiverSettings settings, ILinkEvents events, ILogger logger, CancellationToken stop)
{
    private static readonly TimeSpan s_lookAgain = TimeSpan.FromMilliseconds(100);

    private volatile bool _sourceHasEnded;

    /// <summary>
    /// Whether the source has sent the end of its stream. False again if pages have been lost with the preempt channel.
    /// </summary>
    public bool SourceHasEnded => _sourceHasEnded;

    /// <summary>Returns null if the source has sent everything and it is here, else the cause of the loss.</summary>
    public async Task<Exception?> WaitAsync(PostcopyLink link, SourceTraits source)
    {
        if (await link.Ended.ConfigureAwait(false) is { } failure)
        {
            return failure;
        }

        _sourceHasEnded = true;
        var lost = await SettleAsync(link, source).ConfigureAwait(false);
        if (lost is not null)
        {
            _sourceHasEnded = false;
            link.Break(lost);
        }

        return lost;
    }

    /// <summary>
    /// Waits for answers that may still come on the preempt channel after the source has sent everything on main. Without any preempt
    /// channel nothing more can come, and requested pages that were never sent are zero pages that the source has left out. With one, such
    /// pages may have been lost with it, and must not be taken for zeros. Returns the cause if they are lost and the link must be replaced,
    /// else null.
    /// </summary>
    private async Task<Exception?> SettleAsync(PostcopyLink link, SourceTraits source)
    {
        var settled = ledger.SettledAsync();
        while (!settled.IsCompleted && !link.Broken.IsCompleted && !link.HasPreempt && settings.MayHavePreempt())
        {
            // A candidate proves by such an answer that it is the preempt channel, or it is a stranger, which may stay silent for ever or
            // leave. Only without any candidate is it certain that nothing more comes.
            await Task.WhenAny(settled, link.Broken, Task.Delay(s_lookAgain, stop)).ConfigureAwait(false);
            stop.ThrowIfCancellationRequested();
        }

        if (settled.IsCompleted || !(link.HasPreempt || source.HasPreempt || settings.PreemptIsExpected && !source.IsOurs))
        {
            return null;
        }

        if (link.HasPreempt)
        {
            await Task.WhenAny(settled, link.PreemptEnded).WaitAsync(stop).ConfigureAwait(false);
            if (settled.IsCompleted)
            {
                return null;
            }
        }

        PostcopyLog.PagesLost(logger, ledger.CountMissing());
        var lost = new ChannelException(
            FailureReason.PeerClosed, ChannelId.Preempt, "the preempt channel ended before the pages that were asked for");
        if (source.IsOurs || link.Broken.IsCompleted)
        {
            return lost; // one of ours pauses, too, and sends the pages again after a recovery
        }

        // QEMU waits for SHUT here, and would run the guest again if the connection ended instead: only the host decides that.
        events.OnPaused(lost, isLost: false);
        await Task.WhenAny(settled, link.Broken).WaitAsync(stop).ConfigureAwait(false);
        return settled.IsCompleted ? null : lost;
    }
}
