using DataPlane.Linux;

namespace DataPlane.Transport;

/// <summary>
/// Limits the rate of all senders of one migration together: a bucket of bytes that fills with time. A sender takes what it is about to
/// send and waits for its turn. Thread-safe.
/// </summary>
/// <remarks>Without a limit there is no object, which costs the test of a reference per packet.</remarks>
internal sealed class SendLimit(long bytesPerSecond, TimeProvider time, CancellationToken stopped)
{
    /// <summary>
    /// The time that may be made up for after a late wake-up. More would allow bursts, less would lose rate to the scheduler.
    /// </summary>
    private static readonly TimeSpan s_credit = TimeSpan.FromMilliseconds(20);

    /// <summary>The longest wait before the sender gives a sign of life in <see cref="Pauses"/>.</summary>
    private static readonly TimeSpan s_slice = TimeSpan.FromMilliseconds(100);

    private readonly Lock _gate = new();
    private readonly long _start = time.GetTimestamp();
    private TimeSpan _nextFree;
    private long _pauses;

    /// <summary>Grows while a sender waits for the limit, so that the wait does not count as a stall.</summary>
    public long Pauses => Volatile.Read(ref _pauses);

    /// <summary>Waits until all of <paramref name="vectors"/> may be sent, or the migration has been stopped.</summary>
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

    /// <summary>Books the next turn for <paramref name="bytes"/> bytes, and returns how long it is until then.</summary>
    public TimeSpan Reserve(long bytes)
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
