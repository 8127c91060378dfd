using DataPlane.Transport;

namespace DataPlane.Migration.Source;

/// <summary>
/// All connections of a source over its whole life: those of the present link, the multifd channels, which outlive a lost link, and what
/// lost links have carried. Timers look at them at any moment. Thread-safe.
/// </summary>
internal sealed class SourceLinks(int multifdChannels)
{
    private readonly Lock _gate = new(); // guards every field below
    private ChannelSet _channels = MigrationLink.NewSet();
    private MigrationLink? _current;
    private Channel? _spared;
    private long _lostBytes;

    public ChannelSet Multifd { get; } = new(multifdChannels);

    /// <summary>Main and preempt of the present link, or of the one that is being connected.</summary>
    public ChannelSet Link
    {
        get
        {
            lock (_gate)
            {
                return _channels;
            }
        }
    }

    /// <summary>The present link; null before main is connected, and while a lost link is not replaced.</summary>
    public MigrationLink? Current
    {
        get
        {
            lock (_gate)
            {
                return _current;
            }
        }
    }

    /// <summary>The channels that are there now: main, multifd, preempt.</summary>
    public IReadOnlyList<Channel> Channels
    {
        get
        {
            var link = Link;
            return [.. Present(link[MigrationLink.MainNumber]), .. Multifd.Now, .. Present(link[MigrationLink.PreemptNumber])];
        }
    }

    public long SentBytes
    {
        get
        {
            lock (_gate)
            {
                return _lostBytes + Sum(_channels) + Sum(Multifd);
            }
        }
    }

    /// <summary>Makes <paramref name="link"/> the present one; its channels are those of <see cref="Link"/>.</summary>
    public void Use(MigrationLink link)
    {
        lock (_gate)
        {
            _current = link;
        }
    }

    /// <summary>Aborts all channels, main last, and those that are still being connected as soon as they are.</summary>
    public void Abort()
    {
        Multifd.Abort();
        Link.Abort();
    }

    /// <summary>
    /// Keeps the preempt channel of a link on which everything was sent from the abort of that link. A QEMU 8.0 or later that has all of
    /// it waits for its preempt thread to end. If the channel ends just then, that thread waits for a recovery instead, and QEMU hangs
    /// with its guest for ever.
    /// </summary>
    public void SparePreempt()
    {
        lock (_gate)
        {
            if (_spared is null && _channels.Take(MigrationLink.PreemptNumber) is { } preempt)
            {
                _spared = preempt;
                _lostBytes += preempt.BytesSent;
            }
        }
    }

    /// <summary>Closes the channel that <see cref="SparePreempt"/> has kept, if there is one.</summary>
    /// <param name="limit">How long the destination may take to close its end before.</param>
    public async Task CloseSparedAsync(TimeSpan limit)
    {
        Channel? preempt;
        lock (_gate)
        {
            (preempt, _spared) = (_spared, null);
        }

        if (preempt is not null)
        {
            await preempt.OutlastPeerAsync(limit).ConfigureAwait(false);
            preempt.Abort();
            await preempt.DisposeAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Lets go of a link whose channels nobody uses any more. The multifd channels stay.</summary>
    public async Task DropLinkAsync()
    {
        ChannelSet channels;
        lock (_gate)
        {
            channels = _channels;
            _lostBytes += Sum(channels);
            (_channels, _current) = (MigrationLink.NewSet(), null);
        }

        foreach (var channel in channels.Now)
        {
            await channel.DisposeAsync().ConfigureAwait(false);
        }
    }

    private static long Sum(ChannelSet channels) => channels.Now.Sum(static channel => channel.BytesSent);

    private static Channel[] Present(Channel? channel) => channel is null ? [] : [channel];
}
