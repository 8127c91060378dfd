using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration.Source;

/// <summary>
/// The recovery from a lost link in postcopy, which is a pause: the guest stays stopped here, its pages are kept, and a new link is enough
/// to go on (specification, 4-postcopy section 4.6).
/// </summary>
/// <param name="plan">Has the limits.</param>
/// <param name="dialer">Connects a new link.</param>
/// <param name="links">Holds the present link.</param>
/// <param name="sender">Asks the destination what it holds, and to go on.</param>
/// <param name="requests">Tells when, and to which address, the host wants to go on.</param>
/// <param name="pause">Is told how the pause goes.</param>
/// <param name="custody">Decides who has the guest.</param>
/// <param name="progress">Is told of every change.</param>
/// <param name="clock">Tells the phase of a failure.</param>
internal sealed class SourceRecovery(
    SourcePlan plan,
    LinkDialer dialer,
    SourceLinks links,
    PostcopySender sender,
    LinkRequests requests,
    SourcePause pause,
    SourceCustody custody,
    SourceProgress progress,
    PhaseClock clock)
{
    /// <summary>Waits for the host to resume with an address, as often as it takes. Returns the new link when pages flow again.</summary>
    /// <param name="lost">Why the link was lost.</param>
    /// <param name="cancellationToken">Ends the wait, and an attempt that is under way.</param>
    /// <exception cref="MigrationException">Nobody has resumed the migration in time.</exception>
    public async Task<MigrationLink> RecoverAsync(Exception lost, CancellationToken cancellationToken)
    {
        ResumeRequest? request = null;
        try
        {
            while (true)
            {
                await EndLinkAsync().ConfigureAwait(false);
                MigrationLog.LinkLost(plan.Logger, lost.Message);
                // Anyone who sees the pause may resume, so it is not reported before an address is waited for.
                var next = requests.WaitAsync();
                pause.Begin(lost.Message);
                await progress.ReportAsync().ConfigureAwait(false);
                request?.Fail(MigrationException.From(lost, clock.Phase, custody.Owner));
                request = await NextAsync(next, lost, cancellationToken).ConfigureAwait(false);
                pause.Try();
                await progress.ReportAsync().ConfigureAwait(false);
                try
                {
                    var link = await TryReconnectAsync(request.Address, cancellationToken).ConfigureAwait(false);
                    pause.End();
                    MigrationLog.Resumed(plan.Logger, request.Address.ToString(), sender.PagesLeft ?? 0);
                    await progress.ReportAsync().ConfigureAwait(false);
                    request.Succeed();
                    return link;
                }
                catch (Exception failure)
                {
                    // This goes for every failure, even a fault of this process: the guest at the destination needs the memory here, and
                    // the next attempt may succeed.
                    custody.On(SourceEvent.Failed);
                    lost = Describe(failure);
                }
            }
        }
        catch (Exception failure)
        {
            request?.Fail(failure);
            throw;
        }
    }

    private async Task<ResumeRequest> NextAsync(Task<ResumeRequest> next, Exception lost, CancellationToken cancellationToken)
    {
        try
        {
            return await next.WaitAsync(plan.Options.RecoveryTimeout, plan.Time, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception ending)
        {
            if (!requests.TryLeave())
            {
                return await next.ConfigureAwait(false);
            }

            if (ending is not (TimeoutException or OperationCanceledException))
            {
                throw;
            }

            var limit = ending is TimeoutException ? $"within {plan.Options.RecoveryTimeout.TotalSeconds:0.###} s"
                : "before it was cancelled";
            throw NotConfirmed.Because(
                $"{lost.Message}; nobody resumed the migration {limit}", custody.Owner, clock.Phase, lost);
        }
    }

    private static Exception Describe(Exception failure) => failure switch
    {
        TimeoutException => new ChannelException(
            FailureReason.Stalled, ChannelId.Main,
            $"the destination did not answer within {RecoveryDialogue.AnswerLimit.TotalSeconds:0} s"),
        OperationCanceledException => new ChannelException(
            FailureReason.LocalFailure, ChannelId.Main, "the attempt to resume was given up here"),
        _ => failure,
    };

    /// <summary>Ends what is left of a link: after this no thread sends or reads on it.</summary>
    private async Task EndLinkAsync()
    {
        if (sender.HasSentEverything)
        {
            links.SparePreempt();
        }

        links.Link.Abort();
        if (links.Current is { } link)
        {
            await ((Task)link.ReturnPath).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        await sender.EndLinkAsync().ConfigureAwait(false);
        await links.DropLinkAsync().ConfigureAwait(false);
    }

    /// <summary>Makes one attempt at a new link. Cancelling the migration and <see cref="MigrationSource.Pause"/> end it at once.</summary>
    private async Task<MigrationLink> TryReconnectAsync(ChannelAddress address, CancellationToken cancellationToken)
    {
        await links.CloseSparedAsync(TimeSpan.Zero).ConfigureAwait(false); // a destination that lets the source in has closed its end
        var channels = links.Link;
        using var attempt = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        try
        {
            requests.Use(attempt.Cancel, static () => true);
            using (attempt.Token.Register(() => channels.Abort()))
            {
                var listensSince = plan.Time.GetTimestamp();
                var (main, returnPath) = await sender.RecoverAsync(
                    (id, stop) => id == ChannelId.Preempt ? dialer.DialPreemptAsync(address, stop) : dialer.DialMainAsync(address, stop),
                    plan.Guest.PagesHoldingData,
                    attempt.Token).ConfigureAwait(false);
                var link = new MigrationLink(main, channels, returnPath, listensSince);
                links.Use(link);
                return link;
            }
        }
        catch (Exception) when (attempt.IsCancellationRequested)
        {
            throw new OperationCanceledException(attempt.Token);
        }
        finally
        {
            requests.Use(breakLink: null);
        }
    }
}
