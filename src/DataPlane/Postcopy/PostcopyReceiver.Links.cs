using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <content>One link after the other, until the memory is complete.</content>
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

    /// <summary>Null when the source has sent everything and it is here; else what the link was lost by.</summary>
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
    /// The source has sent everything, but answers to requests may still be on the preempt channel. Where there never was one, nothing can
    /// come any more: what is asked for and was never sent are zero pages that the source has left out. Where there was one they may have
    /// been lost with it, and are no zeros.
    /// </summary>
    private async Task<Exception?> SettleAsync(PostcopyLink link)
    {
        var settled = Ledger.SettledAsync();
        while (!settled.IsCompleted && !link.HasPreempt && MayHavePreempt())
        {
            // It proves itself by such an answer, or is a stranger, who may stay silent for ever or leave: only then nothing can come.
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
            FailureReason.PeerClosed, "preempt", "the preempt channel ended before the pages that were asked for");
        if (Source.IsOurs)
        {
            return lost; // it pauses, too, and sends them again
        }

        // QEMU waits for our word and would run the guest again if it saw the connection end instead.
        OnPaused?.Invoke(lost);
        await settled.WaitAsync(_stop.Token).ConfigureAwait(false);
        return null;
    }

    private PostcopyLink Begin(Channel main, ReadOnlyMemory<byte> rest)
    {
        lock (_gate)
        {
            Main = main;
            _link = new PostcopyLink(main, rest, _pages, _arrivals, ReturnPath, _ramSection, _pool);
            return _link;
        }
    }

    private void OnFaultFailed(Exception failure)
    {
        PostcopyLog.FaultFailed(_logger, failure);
        Break(failure is LinuxException ? new ChannelException(FailureReason.LocalFailure, "main", failure.Message, failure) : failure);
    }
}
