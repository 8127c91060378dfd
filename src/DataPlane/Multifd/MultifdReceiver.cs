using DataPlane.Memory;
using DataPlane.Multifd.Compression;
using DataPlane.Transport;

namespace DataPlane.Multifd;

/// <summary>
/// The destination's multifd channels: one thread per channel places pages straight into guest memory, and all of them meet main at every
/// sync.
/// </summary>
/// <remarks>
/// Channels are added as they are admitted, in any order. The first failure is reported once through <see cref="Failed"/>; the owner then
/// ends all channels.
/// </remarks>
internal sealed class MultifdReceiver
{
    private readonly MultifdReceiveChannel[] _channels;
    private readonly TaskCompletionSource<ChannelException> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile ReceivedPages? _pages;

    /// <summary>Starts the threads: before the channels come, since a start takes up to a millisecond and they would add up.</summary>
    public MultifdReceiver(int channels, BlockPool pool, CompressionMethod? compression = null, StagingBudget? staging = null)
    {
        Staging = staging ?? new StagingBudget(long.MaxValue);
        Methods = new MethodAgreement(compression);
        Barrier = new SyncBarrier(channels);
        _channels = [.. Enumerable.Range(0, channels).Select(id => new MultifdReceiveChannel(id, this, pool))];
        foreach (var channel in _channels)
        {
            channel.Start();
        }
    }

    public SyncBarrier Barrier { get; }

    /// <summary>What the decompressors may take in all.</summary>
    public StagingBudget Staging { get; }

    /// <summary>How the pages of all channels are compressed.</summary>
    public MethodAgreement Methods { get; }

    /// <summary>Completes with the first failure of any channel. Never completes when all goes well.</summary>
    public Task<ChannelException> Failed => _failed.Task;

    /// <summary>Where pages go: unknown until main has read the block list, and no page may come before that.</summary>
    public ReceivedPages? Pages
    {
        get => _pages;
        set => _pages = value;
    }

    public long NormalPages => Sum(static channel => channel.NormalPages);

    public long ZeroPages => Sum(static channel => channel.ZeroPages);

    /// <summary>Takes over an admitted channel whose init packet has been read.</summary>
    public void Attach(int id, Channel channel) => _channels[id].Attach(channel);

    /// <summary>
    /// Closes guest memory to all channels: after the source's last sync no page may come on them. What comes nevertheless is that
    /// channel's failure and touches nothing.
    /// </summary>
    /// <exception cref="ChannelException">A channel is placing pages that came after the last sync.</exception>
    public void CloseMemory()
    {
        for (var id = 0; id < _channels.Length; id++)
        {
            if (!_channels[id].TryCloseMemory())
            {
                throw ChannelException.Violation($"multifd {id}", "pages after the source's last sync");
            }
        }
    }

    /// <summary>
    /// Ends all threads after the main stream has ended well, then closes the channels: reads each to its end, at most for
    /// <paramref name="drain"/>.
    /// </summary>
    public async Task FinishAsync(TimeSpan drain, CancellationToken cancellationToken)
    {
        Barrier.Open();
        await Task.WhenAll(_channels.Select(channel => channel.FinishAsync(drain, cancellationToken))).ConfigureAwait(false);
    }

    /// <summary>Resets all channels and waits for their threads.</summary>
    public async Task AbortAsync(Exception cause)
    {
        Barrier.Fail(cause);
        foreach (var channel in _channels)
        {
            channel.Abort();
        }

        await Task.WhenAll(_channels.Select(static channel => channel.Stopped)).ConfigureAwait(false);
    }

    internal void ReportFailure(ChannelException failure)
    {
        if (_failed.TrySetResult(failure))
        {
            Barrier.Fail(failure);
        }
    }

    private long Sum(Func<MultifdReceiveChannel, long> value) => _channels.Sum(value);
}
