using DataPlane.Memory;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// Which of the connections that begin a recovery is the source's: the first that has asked its questions and says RESUME. Each is answered
/// by a thread of its own, so one that is silent, slow or broken costs the others nothing. Thread-safe.
/// </summary>
/// <param name="pages">What is here; it does not change while nobody is chosen.</param>
/// <param name="pool">Gives a block per connection.</param>
/// <param name="onFailed">Told of a connection that broke off, while nobody is chosen; must return at once.</param>
internal sealed class RecoveryChoice(ReceivedPages pages, BlockPool pool, Action<Exception> onFailed) : IDisposable
{
    /// <summary>A source has one such connection at a time; beyond this the oldest one goes, which has had its time.</summary>
    private const int MaxCandidates = 16;

    private readonly Lock _gate = new();
    private readonly List<RecoveryCandidate> _candidates = [];
    private readonly TaskCompletionSource<RecoveryCandidate> _chosen = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _over;

    /// <summary>Completes with the source's connection.</summary>
    public Task<RecoveryCandidate> Chosen => _chosen.Task;

    /// <summary>Hears a connection.</summary>
    public void Add(Channel main, Action chosen) => Add(main, chosen, static thread => thread.Start());

    /// <summary>The same with another start of its thread; a parameter for the tests.</summary>
    internal void Add(Channel main, Action chosen, Action<Thread> start)
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

            var candidate = new RecoveryCandidate(main, pages, pool, chosen);
            _candidates.Add(candidate);
            try
            {
                start(new Thread(() => Hear(candidate)) { Name = "dp-recovery", IsBackground = true });
                return;
            }
            catch (Exception e)
            {
                // Nobody would ever answer it, and as one of a few it would keep others out. The pause goes on.
                _candidates.Remove(candidate);
                main.Abort();
                failure = e;
            }
        }

        Tell(failure);
    }

    /// <summary>Closes all that were not chosen.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _over = true;
            _candidates.ForEach(static candidate => candidate.Main.Abort());
            _candidates.Clear();
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
            // The host's own trouble ends neither this thread's process nor the pause.
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
            Tell(failure!); // not under the lock: it is the host who is told
        }

        candidate.Main.Abort();
        _ = candidate.Main.DisposeAsync().AsTask();
    }
}
