using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>
/// Holds all senders of one migration together to a rate: a bucket of bytes that fills with time. A sender takes what it is about to send
/// and waits until its turn. Thread-safe.
/// </summary>
/// <remarks>Where there is no limit there is no object: unset, it costs the test of a reference per packet.</remarks>
internal sealed class SendLimit(long bytesPerSecond, TimeProvider time, CancellationToken stopped)
{
    /// <summary>What may be caught up with after a late wake-up. More would be bursts, less would lose rate to the scheduler.</summary>
    private static readonly TimeSpan s_credit = TimeSpan.FromMilliseconds(20);

    /// <summary>One wait goes on for so long at most before it counts as a sign of life.</summary>
    private static readonly TimeSpan s_slice = TimeSpan.FromMilliseconds(100);

    private readonly Lock _gate = new();
    private readonly long _start = time.GetTimestamp();
    private TimeSpan _nextFree;
    private long _pauses;

    /// <summary>Grows while somebody waits for the limit: that is no stall.</summary>
    public long Pauses => Volatile.Read(ref _pauses);

    /// <summary>Waits until all of <paramref name="vectors"/> may be sent, or everything has been stopped.</summary>
    public void Take(ReadOnlySpan<IoVec> vectors)
    {
        long bytes = 0;
        foreach (var vector in vectors)
        {
            bytes += (long)vector.Length;
        }

        for (var wait = Reserve(bytes); wait > TimeSpan.Zero; wait -= s_slice)
        {
            Interlocked.Increment(ref _pauses);
            if (stopped.WaitHandle.WaitOne(wait < s_slice ? wait : s_slice))
            {
                return;
            }
        }
    }

    /// <summary>Books the next place in the queue for so many bytes; returns how long it is until then.</summary>
    internal TimeSpan Reserve(long bytes)
    {
        var duration = TimeSpan.FromSeconds((double)bytes / bytesPerSecond);
        lock (_gate)
        {
            var now = time.GetElapsedTime(_start);
            var begin = _nextFree > now - s_credit ? _nextFree : now - s_credit;
            _nextFree = begin + duration;
            return begin > now ? begin - now : TimeSpan.Zero;
        }
    }
}
