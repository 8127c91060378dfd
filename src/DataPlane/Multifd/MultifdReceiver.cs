using DataPlane.Multifd.Compression;
using DataPlane.Transport;

namespace DataPlane.Multifd;

/// <summary>
/// The multifd channels of a destination. One thread per channel places pages straight into guest memory, and all channels wait for main at
/// every sync.
/// </summary>
/// <remarks>
/// Channels are attached as they are admitted, in any order. The first failure is reported once through <see cref="Failed"/>; the owner
/// then aborts all channels.
/// </remarks>
internal sealed class MultifdReceiver
{
    private readonly MultifdReceiveChannel[] _channels;
    private readonly TaskCompletionSource<ChannelException> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile ReceivedPages? _pages;

    /// <summary>Starts the threads before the channels come: starting one takes up to a millisecond, which would add up.</summary>
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

    /// <summary>The barrier at which the channels and main wait for each other.</summary>
    public SyncBarrier Barrier { get; }

    /// <summary>The limit on the memory of all decompressors together.</summary>
    public StagingBudget Staging { get; }

    /// <summary>The compression method of the migration, the same for all channels.</summary>
    public MethodAgreement Methods { get; }

    /// <summary>Completes with the first failure of any channel. Never completes if no channel fails.</summary>
    public Task<ChannelException> Failed => _failed.Task;

    /// <summary>
    /// The memory that pages are placed in; null until main has read the list of RAM blocks. A page that comes before is a violation.
    /// </summary>
    public ReceivedPages? Pages
    {
        get => _pages;
        set => _pages = value;
    }

    /// <summary>Pages that came with their bytes, over all channels.</summary>
    public long NormalPages => Sum(static channel => channel.NormalPages);

    /// <summary>Pages that came as zero pages, over all channels.</summary>
    public long ZeroPages => Sum(static channel => channel.ZeroPages);

    /// <summary>Takes over an admitted channel whose init packet has been read.</summary>
    public void Attach(int id, Channel channel) => _channels[id].Attach(channel);

    /// <summary>
    /// Closes guest memory to all channels, because no page may come on them after the source's last sync. A later packet with pages fails
    /// its channel and writes nothing.
    /// </summary>
    /// <exception cref="ChannelException">A channel is placing pages, which came after the last sync.</exception>
    public void CloseMemory()
    {
        for (var id = 0; id < _channels.Length; id++)
        {
            if (!_channels[id].TryCloseMemory())
            {
                throw ChannelException.Violation(ChannelId.Multifd(id), "pages after the source's last sync");
            }
        }
    }

    /// <summary>
    /// Closes all channels after the main stream has ended well, and waits for their threads. Each channel is read to its end for at most
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

    public void ReportFailure(ChannelException failure)
    {
        if (_failed.TrySetResult(failure))
        {
            Barrier.Fail(failure);
        }
    }

    private long Sum(Func<MultifdReceiveChannel, long> value) => _channels.Sum(value);
}
