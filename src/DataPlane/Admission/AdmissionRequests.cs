using System.Collections.Concurrent;
using DataPlane.Linux;

namespace DataPlane.Admission;

/// <summary>
/// What other threads ask of the admission thread. Every call leaves its request here and wakes that thread; it never waits, and may also
/// come after the thread has ended. The thread looks at <see cref="Epoch"/> and <see cref="Recoveries"/> before each decision, and takes
/// everything else once in a turn.
/// </summary>
/// <param name="wake">Wakes the admission thread.</param>
internal sealed class AdmissionRequests(EventFd wake)
{
    private readonly ConcurrentQueue<FalseStart> _falseStarts = new();

    // All of them by Interlocked or volatile: any thread asks, the admission thread takes.
    private AdmittedChannel? _confirmed;
    private int _recoveries;
    private int _epoch;
    private int _recheck;
    private volatile bool _isStopping;

    /// <summary>Whether <see cref="Stop"/> was called.</summary>
    public bool IsStopping => _isStopping;

    /// <summary>How often <see cref="ExpectRecovery"/> was called.</summary>
    public int Recoveries => Volatile.Read(ref _recoveries);

    /// <summary>How often <see cref="StartAnew"/> was called: the number of the set of channels that the host wants.</summary>
    public int Epoch => Volatile.Read(ref _epoch);

    /// <summary>Ends the admission thread.</summary>
    public void Stop()
    {
        _isStopping = true;
        wake.Signal();
    }

    /// <summary>Frees the places of main and preempt for every byte that comes after its return.</summary>
    public void ExpectRecovery()
    {
        _ = Interlocked.Exchange(ref _confirmed, null); // the link of that main channel is lost
        Interlocked.Increment(ref _recoveries);
        wake.Signal();
    }

    /// <summary>Frees all places for every byte that comes after its return, and returns the epoch of the new set.</summary>
    public int StartAnew()
    {
        var epoch = Interlocked.Increment(ref _epoch);
        _ = Interlocked.Exchange(ref _recheck, 1);
        wake.Signal();
        return epoch;
    }

    /// <summary>Has a false start counted, logged and reported.</summary>
    public void NoteFalseStart(string peer, string detail)
    {
        _falseStarts.Enqueue(new FalseStart(peer, detail));
        wake.Signal();
    }

    /// <summary>Gives main's place to a recovered main channel, unless its set has been given up.</summary>
    public void ConfirmMain(AdmittedChannel main)
    {
        _ = Interlocked.Exchange(ref _confirmed, main);
        wake.Signal();
    }

    /// <summary>Has the held connections judged again.</summary>
    public void Recheck()
    {
        if (Interlocked.Exchange(ref _recheck, 1) == 0)
        {
            wake.Signal();
        }
    }

    /// <summary>Takes the next false start that nobody has taken.</summary>
    public bool TryTakeFalseStart(out FalseStart start) => _falseStarts.TryDequeue(out start);

    /// <summary>Takes the main channel that was confirmed last; null if there is none that nobody has taken.</summary>
    public AdmittedChannel? TakeConfirmed() => Interlocked.Exchange(ref _confirmed, null);

    /// <summary>Whether the held connections are to be judged again; false until that is asked for once more.</summary>
    public bool TakeRecheck() => Interlocked.Exchange(ref _recheck, 0) != 0;
}

/// <summary>What was admitted as main channel or as a set, and turned out to be no migration.</summary>
internal readonly record struct FalseStart(string Peer, string Detail);
