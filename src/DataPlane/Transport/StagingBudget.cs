namespace DataPlane.Transport;

/// <summary>
/// One limit for all memory that a source can make its destination take beside the guest's own: a host page that comes in pieces (1 GiB for
/// each channel), what a compressed stream refers back to (32 MiB for each of 255 channels). Thread-safe.
/// </summary>
/// <param name="limit">Bytes in all.</param>
internal sealed class StagingBudget(long limit)
{
    private long _used;

    /// <summary>Bytes that are held now.</summary>
    internal long Used => Interlocked.Read(ref _used);

    /// <summary>A holder needs <paramref name="now"/> bytes instead of <paramref name="held"/>, which becomes that.</summary>
    /// <param name="held">What the holder counts; one thread's.</param>
    /// <param name="now">Bytes; 0 gives all back.</param>
    /// <param name="channel">For whom, for the message.</param>
    /// <param name="what">What they are for, as in "a host page".</param>
    /// <exception cref="ChannelException">It is more than there is; nothing has changed.</exception>
    internal void Change(ref long held, long now, string channel, string what)
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
