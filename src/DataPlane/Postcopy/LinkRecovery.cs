using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Postcopy;

/// <summary>
/// Replaces a lost link by a new one: the pause, the choice of the connection that is the source's, and the resumption. One flow of control
/// recovers; any thread may bring connections and read the state.
/// </summary>
/// <param name="begin">Makes a main channel, with the bytes that were read from it, the link in use.</param>
/// <param name="link">Holds the link in use.</param>
/// <param name="returnPath">The messages to the source.</param>
/// <param name="pages">The record of the pages that have arrived so far.</param>
/// <param name="arrivals">Takes the pages.</param>
/// <param name="events">Is told of pauses and their end.</param>
/// <param name="logger">Takes the log events.</param>
/// <param name="stop">Ends a pause without a new link.</param>
internal sealed class LinkRecovery(
    Func<Channel, PostcopyLink> begin,
    CurrentLink link,
    PostcopyReturnPath returnPath,
    ReceivedPages pages,
    PageArrivals arrivals,
    ILinkEvents events,
    ILogger logger,
    CancellationToken stop)
{
    /// <summary>
    /// The time limit for acknowledging a recovery. A source waits no longer (specification, 4-postcopy section 4.10), so a longer try
    /// helps nobody.
    /// </summary>
    private static readonly TimeSpan s_answerLimit = TimeSpan.FromSeconds(30);

    private readonly Lock _gate = new();
    private RecoveryChoice? _choice; // guarded by _gate
    private volatile bool _isPaused;
    private volatile int _count;

    /// <summary>Whether the link is lost and there is no new one yet.</summary>
    public bool IsPaused => _isPaused;

    /// <summary>The number of links after the first one.</summary>
    public int Count => _count;

    /// <summary>Takes a connection that begins a recovery. It is aborted if no recovery is possible now.</summary>
    /// <param name="main">The connection.</param>
    /// <param name="chosen">Called when the connection has proved to be the source's and becomes the link.</param>
    public void Attach(Channel main, Action chosen) => Attach(main, chosen, static thread => thread.Start());

    /// <summary>Does the same with a thread that <paramref name="start"/> starts; for tests.</summary>
    public void Attach(Channel main, Action chosen, Action<Thread> start)
    {
        RecoveryChoice? choice;
        lock (_gate)
        {
            choice = _choice;
        }

        if (choice is null)
        {
            main.Abort();
        }
        else
        {
            choice.Add(main, chosen, start); // without the lock, because a connection that cannot be heard is told to the host
        }
    }

    /// <summary>Returns the link that replaces one that was lost because of <paramref name="failure"/>.</summary>
    /// <exception cref="OperationCanceledException">The migration was given up meanwhile.</exception>
    public async Task<PostcopyLink> RunAsync(Exception failure)
    {
        while (true)
        {
            PostcopyLog.Paused(logger, arrivals.Ledger.CountMissing(), failure.Message);
            var choice = new RecoveryChoice(pages, events.OnRecoveryFailed);
            try
            {
                var source = await WaitForSourceAsync(choice, failure).ConfigureAwait(false);
                try
                {
                    return Resume(source);
                }
                catch (Exception failed)
                {
                    // Whatever the failure was, the guest is ours, and its memory may still come over another link.
                    source.Main.Abort();
                    link.Lose();
                    returnPath.Use(null);
                    await source.Main.DisposeAsync().ConfigureAwait(false); // nobody else has it yet
                    failure = failed;
                }
            }
            finally
            {
                // Not on this thread: a host that gives the migration up when it is told of a failed recovery does so on a thread of the
                // choice, which runs on to here and would wait for itself.
                await Task.Run(choice.Dispose, CancellationToken.None).ConfigureAwait(false);
            }
        }
    }

    private async Task<RecoveryCandidate> WaitForSourceAsync(RecoveryChoice choice, Exception failure)
    {
        Use(choice);
        try
        {
            _isPaused = true;
            events.OnPaused(failure, isLost: true);
            return await choice.Chosen.WaitAsync(stop).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            choice.Close();
            if (choice.Chosen.IsCompletedSuccessfully)
            {
                // It was chosen at the moment of giving up, so nobody else closes it.
                var chosen = (await choice.Chosen.ConfigureAwait(false)).Main;
                chosen.Abort();
                await chosen.DisposeAsync().ConfigureAwait(false);
            }

            throw;
        }
        finally
        {
            Use(null);
            choice.Close();
        }
    }

    private void Use(RecoveryChoice? choice)
    {
        lock (_gate)
        {
            _choice = choice;
        }
    }

    /// <summary>Makes the connection of the source, which has sent RESUME and waits for RESUME_ACK, the link.</summary>
    private PostcopyLink Resume(RecoveryCandidate source)
    {
        _isPaused = false;
        arrivals.RepeatsAllowed = true;
        returnPath.Use(source.Main);
        var resumed = begin(source.Main);
        try
        {
            source.Chosen();
            stop.ThrowIfCancellationRequested(); // if the receiver was given up meanwhile, nobody else breaks this link
            using var deadline = PeerDeadline.Start(source.Main, s_answerLimit, "its recovery was to be acknowledged", TimeProvider.System);
            returnPath.SendResumeAck();
            returnPath.AllowRequests(arrivals.Ledger);
            _count++;
            arrivals.Proof.OnRecovered();
            PostcopyLog.Resumed(logger, arrivals.Ledger.CountMissing());
            events.OnResumed();
        }
        catch (Exception lost)
        {
            resumed.Break(lost);
        }

        return resumed;
    }
}
