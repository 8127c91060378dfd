namespace DataPlane.Transport;

/// <summary>
/// One limit for all memory that a source can make its destination take beside the guest's own: for a host page that comes in pieces (1 GiB
/// for each channel), and for what a compressed stream refers back to (32 MiB for each of 255 channels). Thread-safe.
/// </summary>
/// <param name="limit">The limit in bytes.</param>
internal sealed class StagingBudget(long limit)
{
    private long _used;

    /// <summary>Changes what one holder holds to <paramref name="now"/> bytes, and sets <paramref name="held"/> to that.</summary>
    /// <param name="held">The bytes that the holder holds; only one thread may use it.</param>
    /// <param name="now">The bytes that it needs; 0 returns all of them.</param>
    /// <param name="channel">Name of the channel, for the message.</param>
    /// <param name="what">What the bytes are for, such as "a host page".</param>
    /// <exception cref="ChannelException">The limit would be exceeded; nothing has changed.</exception>
    public void Change(ref long held, long now, string channel, string what)
    {
        if (now == held)
        {
            return;
        }

        var used = Interlocked.Add(ref _used, now - held);
        if (now > held && used > limit)
        {
            Interlocked.Add(ref _used, held - now);
            throw new ChannelException(
                FailureReason.LimitExceeded, channel,
                $"{what} needs {now} bytes, and all channels together may have {limit} beside the guest's memory, of which "
                + $"{used - now} are in use (MaxStagingBytes)");
        }

        held = now;
    }
}
