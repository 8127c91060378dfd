using DataPlane.Linux;
using DataPlane.MainStream;
using DataPlane.Memory;
using DataPlane.Multifd.Compression;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Multifd;

/// <summary>
/// The multifd channels of a source. The thread of each channel takes the next batch of pages of the round, finds its zero pages and sends
/// it as one packet.
/// </summary>
/// <remarks>
/// A round ends with one SYNC packet on every channel; the caller then writes the mark on main (specification, 3-multifd section 3.4).
/// Between two rounds the threads wait. The first failure ends the round; the owner then aborts the other channels.
/// </remarks>
internal sealed class MultifdSender : IPageSender
{
    private readonly MultifdSendChannel[] _channels;
    private readonly PacketCounter _packetNumbers = new();
    private SendRound? _round;

    /// <summary>Starts the threads before anything is connected: starting one takes up to a millisecond, which would add up.</summary>
    public MultifdSender(int channels, BlockPool pool, CompressionSettings compression = default)
    {
        _channels = [.. Enumerable.Range(0, channels).Select(id => new MultifdSendChannel(id, pool, _packetNumbers, compression))];
        foreach (var channel in _channels)
        {
            channel.Start();
        }
    }

    /// <summary>
    /// Sends the init packet, by which the destination identifies the channel (specification, 3-multifd section 1). To be called right
    /// after connecting.
    /// </summary>
    /// <exception cref="ChannelException">The connection is lost.</exception>
    public static void Introduce(Channel channel, Guid uuid, byte id, BlockPool pool)
    {
        using var block = pool.RentBlock(channel.Name);
        new MultifdInit(uuid, id).Write(block.Span);
        Span<IoVec> vectors = [new IoVec(block.Address, MultifdInit.Size)];
        var result = channel.Send(vectors);
        if (!result.Complete)
        {
            throw ChannelException.From(result, channel, "introducing the channel");
        }
    }

    /// <summary>Pages that were sent with their bytes, over all channels.</summary>
    public long NormalPages => _channels.Sum(static channel => channel.NormalPages);

    /// <summary>Zero pages that were sent in packets or on main, over all channels.</summary>
    public long ZeroPages => _channels.Sum(static channel => channel.ZeroPages);

    /// <summary>
    /// Gives the threads their connections, whose init packets have been sent. To be called once, before the first round.
    /// </summary>
    /// <param name="channels">As many connections as there are threads.</param>
    /// <param name="zeroRecords">Takes the zero pages, to be sent on main; null if the destination takes them in packets.</param>
    /// <param name="limit">The rate limit of all channels together; null for none.</param>
    public void Attach(IReadOnlyList<Channel> channels, ZeroPageRecords? zeroRecords = null, SendLimit? limit = null)
    {
        foreach (var (sender, channel) in _channels.Zip(channels))
        {
            sender.Attach(channel, zeroRecords, limit);
        }
    }

    /// <inheritdoc/>
    public Task SendRoundAsync(PageFeed feed) => RunRoundAsync(feed);

    /// <summary>Sends only a SYNC packet on every channel: the sync of the setup.</summary>
    public Task SendSyncAsync() => RunRoundAsync(feed: null);

    /// <inheritdoc/>
    public Task StopAsync()
    {
        foreach (var channel in _channels)
        {
            channel.Stop();
        }

        return Task.WhenAll(_channels.Select(static channel => channel.Stopped));
    }

    private Task RunRoundAsync(PageFeed? feed)
    {
        if (_round is { Done.IsCompletedSuccessfully: false })
        {
            throw new InvalidOperationException("a round is still running, or has failed");
        }

        _round = new SendRound(feed, _channels.Length);
        foreach (var channel in _channels)
        {
            channel.Begin(_round);
        }

        return _round.Done;
    }
}

/// <summary>Numbers the packets of all channels (specification, 3-multifd section 2.3).</summary>
internal sealed class PacketCounter
{
    private long _next = -1;

    public ulong Next() => (ulong)Interlocked.Increment(ref _next);
}

/// <summary>One round of a migration, which all channels work on together.</summary>
internal sealed class SendRound(PageFeed? feed, int channels)
{
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _working = channels;

    /// <summary>The pages to send; null for a round that consists only of SYNC packets.</summary>
    public PageFeed? Feed { get; } = feed;

    /// <summary>Completes when every channel has sent its SYNC packet; fails with the first failure of a channel.</summary>
    public Task Done => _done.Task;

    public bool Failed => _done.Task.IsFaulted;

    public void ChannelDone()
    {
        if (Interlocked.Decrement(ref _working) == 0)
        {
            _done.TrySetResult();
        }
    }

    public void Fail(Exception failure) => _done.TrySetException(failure);
}
