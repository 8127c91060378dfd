using DataPlane.Memory;
using DataPlane.Transport;

namespace DataPlane.Multifd;

/// <summary>
/// The destination's multifd channels: one thread per channel places pages straight into guest memory, and all of them meet main at every sync.
/// </summary>
/// <remarks>Channels are added as they are admitted, in any order. The first failure is reported once through <see cref="Failed"/>; the owner then ends all channels.</remarks>
internal sealed class MultifdReceiver
{
    private readonly MultifdReceiveChannel?[] _channels;
    private readonly TaskCompletionSource<ChannelException> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly BlockPool _pool;
    private volatile ReceivedPages? _pages;

    public MultifdReceiver(int channels, BlockPool pool)
    {
        _channels = new MultifdReceiveChannel?[channels];
        _pool = pool;
        Barrier = new SyncBarrier(channels);
    }

    public SyncBarrier Barrier { get; }

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

    /// <summary>Takes over an admitted channel whose init packet has been read, and starts its thread.</summary>
    public void Add(int id, Channel channel)
    {
        var receiver = new MultifdReceiveChannel(id, channel, this, _pool);
        _channels[id] = receiver;
        receiver.Start();
    }

    /// <summary>Ends all threads after the main stream has ended well, then closes the channels: reads each to its end, at most for <paramref name="drain"/>.</summary>
    public async Task FinishAsync(TimeSpan drain, CancellationToken cancellationToken)
    {
        Barrier.Open();
        await Task.WhenAll(Started().Select(channel => channel.FinishAsync(drain, cancellationToken))).ConfigureAwait(false);
    }

    /// <summary>Resets all channels and waits for their threads.</summary>
    public async Task AbortAsync(Exception cause)
    {
        Barrier.Fail(cause);
        foreach (var channel in Started())
        {
            channel.Abort();
        }

        await Task.WhenAll(Started().Select(static channel => channel.Stopped)).ConfigureAwait(false);
    }

    internal void ReportFailure(ChannelException failure)
    {
        if (_failed.TrySetResult(failure))
        {
            Barrier.Fail(failure);
        }
    }

    private IEnumerable<MultifdReceiveChannel> Started() => _channels.OfType<MultifdReceiveChannel>();

    private long Sum(Func<MultifdReceiveChannel, long> value) => Started().Sum(value);
}
