using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <content>A lost link, and the next one.</content>
internal sealed partial class PostcopyReceiver
{
    /// <summary>A source waits for so long (4-postcopy section 4.10), so a longer try is of no use to anybody.</summary>
    private static readonly TimeSpan s_answerLimit = TimeSpan.FromSeconds(30);

    private RecoveryChoice? _choice;

    /// <summary>
    /// Told, from any thread, that a connection began a recovery and broke off; the migration is paused as before. It must return at once.
    /// </summary>
    public Action<Exception>? OnRecoveryFailed { get; init; }

    /// <summary>
    /// The guest is ours and pages of it are to come: the link may be lost before anybody here has noticed. Thread-safe.
    /// </summary>
    public bool MayBePaused => IsListening && !_complete && OutlivesLinks;

    /// <summary>A connection that begins a recovery. Thread-safe.</summary>
    /// <param name="main">The connection.</param>
    /// <param name="chosen">Called when it has turned out to be the source's, and is the link.</param>
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
    /// Somebody says that the source has given this link up: finds out whether its connection still stands. Thread-safe.
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
                // Whatever it was: the guest is ours, and its memory may still come over another link.
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
        var choice = new RecoveryChoice(_pages, _pool, failed => OnRecoveryFailed?.Invoke(failed));
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

    /// <summary>Those who listen may fail; the pause is one all the same.</summary>
    private void Tell(Exception cause)
    {
        try
        {
            OnPaused?.Invoke(cause);
        }
        catch (Exception failure)
        {
            PostcopyLog.ListenerFailed(_logger, failure);
        }
    }

    /// <summary>The source has said RESUME, and waits for the word.</summary>
    private PostcopyLink Resume(RecoveryCandidate source)
    {
        IsPaused = false;
        _arrivals.RepeatsAllowed = true;
        ReturnPath.Use(source.Main);
        var link = Begin(source.Main, source.Rest);
        try
        {
            source.Chosen();
            _stop.Token.ThrowIfCancellationRequested(); // given up in between: nobody else breaks this link
            using var deadline = PeerDeadline.Start(source.Main, s_answerLimit, "its recovery was to be acknowledged", TimeProvider.System);
            ReturnPath.SendResumeAck();
            ReturnPath.AllowRequests(Ledger);
            Recoveries++;
            _arrivals.Proof.OnRecovered();
            PostcopyLog.Resumed(_logger, Ledger.CountMissing());
            OnResumed?.Invoke();
        }
        catch (Exception lost)
        {
            link.Break(lost);
        }

        return link;
    }
}
