using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <content>Replaces a lost link by a new one.</content>
internal sealed partial class PostcopyReceiver
{
    /// <summary>
    /// The time limit for acknowledging a recovery. A source waits no longer (specification, 4-postcopy section 4.10), so a longer try
    /// helps nobody.
    /// </summary>
    private static readonly TimeSpan s_answerLimit = TimeSpan.FromSeconds(30);

    private RecoveryChoice? _choice;

    /// <summary>
    /// Called from any thread when a connection that has begun a recovery has failed; the migration stays paused. It must return at once.
    /// </summary>
    public Action<Exception>? OnRecoveryFailed { get; init; }

    /// <summary>
    /// Whether the link may be lost without anybody here having noticed: the guest is ours, and pages of it are still missing. Thread-safe.
    /// </summary>
    public bool MayBePaused => IsListening && !_complete && OutlivesLinks;

    /// <summary>Takes a connection that begins a recovery. It is aborted if no recovery is possible now. Thread-safe.</summary>
    /// <param name="main">The connection.</param>
    /// <param name="chosen">Called when the connection has proved to be the source's and becomes the link.</param>
    public void AttachRecovered(Channel main, Action chosen)
    {
        lock (_gate)
        {
            if (_choice is { } choice)
            {
                choice.Add(main, chosen);
            }
            else
            {
                main.Abort();
            }
        }
    }

    /// <summary>
    /// Checks that the peer still holds the main connection, because a connection claims that the source has given this link up.
    /// Thread-safe.
    /// </summary>
    public void Probe(TimeSpan limit)
    {
        lock (_gate)
        {
            Main?.Probe(limit);
        }
    }

    private async Task<PostcopyLink> RecoverAsync(Exception failure)
    {
        while (true)
        {
            var source = await WaitForSourceAsync(failure).ConfigureAwait(false);
            try
            {
                return Resume(source);
            }
            catch (Exception failed)
            {
                // Whatever the failure was, the guest is ours, and its memory may still come over another link.
                source.Main.Abort();
                lock (_gate)
                {
                    (_link, Main) = (null, null);
                }

                ReturnPath.Use(null);
                failure = failed;
            }
        }
    }

    private async Task<RecoveryCandidate> WaitForSourceAsync(Exception failure)
    {
        PostcopyLog.Paused(_logger, Ledger.CountMissing(), failure.Message);
        var choice = new RecoveryChoice(_pages, failed => OnRecoveryFailed?.Invoke(failed));
        lock (_gate)
        {
            _choice = choice;
        }

        try
        {
            IsPaused = true;
            Tell(failure);
            return await choice.Chosen.WaitAsync(_stop.Token).ConfigureAwait(false);
        }
        finally
        {
            lock (_gate)
            {
                _choice = null;
            }

            choice.Dispose();
        }
    }

    /// <summary>Calls <see cref="OnPaused"/>.</summary>
    private void Tell(Exception cause) => Tell(() => OnPaused?.Invoke(cause));

    /// <summary>Calls a listener, whose failure ends neither a pause nor a link.</summary>
    private void Tell(Action listener)
    {
        try
        {
            listener();
        }
        catch (Exception failure)
        {
            PostcopyLog.ListenerFailed(_logger, failure);
        }
    }

    /// <summary>Makes the connection of the source, which has sent RESUME and waits for RESUME_ACK, the link.</summary>
    private PostcopyLink Resume(RecoveryCandidate source)
    {
        IsPaused = false;
        _arrivals.RepeatsAllowed = true;
        ReturnPath.Use(source.Main);
        var link = Begin(source.Main);
        try
        {
            source.Chosen();
            _stop.Token.ThrowIfCancellationRequested(); // if the receiver was given up meanwhile, nobody else breaks this link
            using var deadline = PeerDeadline.Start(source.Main, s_answerLimit, "its recovery was to be acknowledged", TimeProvider.System);
            ReturnPath.SendResumeAck();
            ReturnPath.AllowRequests(Ledger);
            Recoveries++;
            _arrivals.Proof.OnRecovered();
            PostcopyLog.Resumed(_logger, Ledger.CountMissing());
            Tell(() => OnResumed?.Invoke());
        }
        catch (Exception lost)
        {
            link.Break(lost);
        }

        return link;
    }
}
