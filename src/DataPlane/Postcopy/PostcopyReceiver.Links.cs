using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <content>Reads one link after the other, until the memory is complete.</content>
internal sealed partial class PostcopyReceiver
{
    private static readonly TimeSpan s_lookAgain = TimeSpan.FromMilliseconds(100);

    private async Task RunAsync(PostcopyLink link)
    {
        while (await EndOfAsync(link).ConfigureAwait(false) is { } failure)
        {
            await link.DisposeAsync().ConfigureAwait(false);
            ReturnPath.Use(null);
            lock (_gate)
            {
                _link = null;
                Main = null;
                if (!_outlivesLinks)
                {
                    throw failure;
                }

                _stop.Token.ThrowIfCancellationRequested();
            }

            link = await RecoverAsync(failure).ConfigureAwait(false);
        }

        _complete = true;
        if (Ledger.CountMissing() is var missing and > 0)
        {
            PostcopyLog.LeftOut(_logger, missing);
        }

        PostcopyLog.Complete(_logger, AskedPages);
    }

    /// <summary>
    /// Waits for the end of a link. Returns null if the source has sent everything and it is here, else the cause of the loss.
    /// </summary>
    private async Task<Exception?> EndOfAsync(PostcopyLink link)
    {
        if (await link.Ended.ConfigureAwait(false) is { } failure)
        {
            return failure;
        }

        SourceHasEnded = true;
        var lost = await SettleAsync(link).ConfigureAwait(false);
        if (lost is not null)
        {
            SourceHasEnded = false;
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
    private async Task<Exception?> SettleAsync(PostcopyLink link)
    {
        var settled = Ledger.SettledAsync();
        while (!settled.IsCompleted && !link.HasPreempt && MayHavePreempt())
        {
            // A candidate proves by such an answer that it is the preempt channel, or it is a stranger, which may stay silent for ever or
            // leave. Only without any candidate is it certain that nothing more comes.
            await Task.WhenAny(settled, Task.Delay(s_lookAgain, _stop.Token)).ConfigureAwait(false);
            _stop.Token.ThrowIfCancellationRequested();
        }

        if (settled.IsCompleted || !(link.HasPreempt || Source.HasPreempt || PreemptIsExpected && !Source.IsOurs))
        {
            return null;
        }

        if (link.HasPreempt)
        {
            await Task.WhenAny(settled, link.PreemptEnded).WaitAsync(_stop.Token).ConfigureAwait(false);
            if (settled.IsCompleted)
            {
                return null;
            }
        }

        PostcopyLog.PagesLost(_logger, Ledger.CountMissing());
        var lost = new ChannelException(
            FailureReason.PeerClosed, ChannelId.Preempt, "the preempt channel ended before the pages that were asked for");
        if (Source.IsOurs || link.Broken.IsCompleted)
        {
            return lost; // one of ours pauses, too, and sends the pages again after a recovery
        }

        // QEMU waits for SHUT here, and would run the guest again if the connection ended instead: only the host decides that.
        Tell(lost);
        await Task.WhenAny(settled, link.Broken).WaitAsync(_stop.Token).ConfigureAwait(false);
        return settled.IsCompleted ? null : lost;
    }

    private PostcopyLink Begin(Channel main)
    {
        lock (_gate)
        {
            Main = main;
            _link = new PostcopyLink(main, _pages, _arrivals, ReturnPath, _ramSection);
            return _link;
        }
    }

    private void OnFaultFailed(Exception failure)
    {
        PostcopyLog.FaultFailed(_logger, failure);
        Break(failure is LinuxException
            ? new ChannelException(FailureReason.LocalFailure, ChannelId.Main, failure.Message, failure) : failure);
    }

    /// <summary>
    /// Gives the link up, because a request may be recorded that was never sent. Every open request is sent after the recovery, and the
    /// source sends all other pages by itself.
    /// </summary>
    private void OnPullFailed(Exception failure)
    {
        PostcopyLog.PullFailed(_logger, failure);
        Break(new ChannelException(FailureReason.LocalFailure, ChannelId.Main, failure.Message, failure));
    }
}
