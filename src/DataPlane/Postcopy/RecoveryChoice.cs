using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// Finds out which of the connections that begin a recovery is the source's: the first that has asked its questions and sends RESUME. Each
/// is answered by a thread of its own, so one that is silent, slow or broken does not delay the others. Thread-safe.
/// </summary>
/// <param name="pages">The record of the pages that are here; it does not change before a connection is chosen.</param>
/// <param name="onFailed">Called with the failure of a connection while none is chosen, without a lock. It must return at once.</param>
internal sealed class RecoveryChoice(ReceivedPages pages, Action<Exception> onFailed) : IDisposable
{
    /// <summary>
    /// The most connections at a time. A source has one; if there are more than this, the oldest one is closed, because it has had the most
    /// time.
    /// </summary>
    private const int MaxCandidates = 16;

    private readonly Lock _gate = new(); // guards the lists and _over
    private readonly List<RecoveryCandidate> _candidates = [];
    private readonly List<Thread> _threads = [];
    private readonly TaskCompletionSource<RecoveryCandidate> _chosen = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _over;

    /// <summary>Completes with the connection that has proved to be the source's.</summary>
    public Task<RecoveryCandidate> Chosen => _chosen.Task;

    /// <summary>Takes a connection and answers it on a thread that <paramref name="start"/> starts.</summary>
    public void Add(Channel main, Action chosen, Action<Thread> start)
    {
        Exception failure;
        lock (_gate)
        {
            if (_over)
            {
                main.Abort();
                return;
            }

            if (_candidates.Count == MaxCandidates)
            {
                _candidates[0].Main.Abort();
                _candidates.RemoveAt(0);
            }

            var candidate = new RecoveryCandidate(main, pages, chosen);
            _candidates.Add(candidate);
            try
            {
                var thread = new Thread(() => Hear(candidate)) { Name = "dp-recovery", IsBackground = true };
                start(thread);
                _threads.RemoveAll(static one => one.Join(0)); // strangers may come for as long as the pause lasts
                _threads.Add(thread);
                return;
            }
            catch (Exception e)
            {
                // The connection is removed, because nobody would ever answer it and it would take the place of another. The pause goes on.
                _candidates.Remove(candidate);
                main.Abort();
                failure = e;
            }
        }

        Tell(failure);
    }

    /// <summary>Aborts all connections that were not chosen, and those that come later. Returns at once.</summary>
    public void Close()
    {
        lock (_gate)
        {
            _over = true;
            _candidates.ForEach(static candidate => candidate.Main.Abort());
            _candidates.Clear();
        }
    }

    /// <summary>Closes the choice and waits for its threads.</summary>
    public void Dispose()
    {
        Close();
        Thread[] threads;
        lock (_gate)
        {
            threads = [.. _threads]; // the waiting must not hold the lock, which the threads need to end
        }

        foreach (var thread in threads)
        {
            thread.Join();
        }
    }

    private void Tell(Exception failure)
    {
        try
        {
            onFailed(failure);
        }
        catch (Exception)
        {
            // A failure of the host must end neither the process nor the pause.
        }
    }

    private void Hear(RecoveryCandidate candidate)
    {
        Exception? failure = null;
        try
        {
            candidate.Answer();
        }
        catch (Exception e)
        {
            failure = e;
        }

        bool counts;
        lock (_gate)
        {
            counts = _candidates.Remove(candidate) && !_over;
            if (failure is null && counts)
            {
                _over = true;
                _chosen.SetResult(candidate);
                return;
            }
        }

        if (counts)
        {
            Tell(failure!); // not under the lock, because this calls the host
        }

        candidate.Main.Abort();
        _ = candidate.Main.DisposeAsync().AsTask();
    }
}
