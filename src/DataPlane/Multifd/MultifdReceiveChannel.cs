using DataPlane.Linux;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Multifd;

/// <summary>
/// One multifd channel of a destination: a named thread that reads a header, checks it as a whole, then scatters the payload into guest memory.
/// </summary>
/// <remarks>Two receive calls per packet, no copy in user space, no managed allocation. Specification: 3-multifd section 2.1.</remarks>
internal sealed class MultifdReceiveChannel
{
    private readonly int _id;
    private readonly Channel _channel;
    private readonly MultifdReceiver _owner;
    private readonly BlockPool _pool;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _thread;
    private long _normalPages;
    private long _zeroPages;
    private long _packets;

    public MultifdReceiveChannel(int id, Channel channel, MultifdReceiver owner, BlockPool pool)
    {
        _id = id;
        _channel = channel;
        _owner = owner;
        _pool = pool;
        _thread = new Thread(Run) { Name = $"dp-recv-{id}", IsBackground = true };
    }

    public long NormalPages => Volatile.Read(ref _normalPages);

    public long ZeroPages => Volatile.Read(ref _zeroPages);

    public long Packets => Volatile.Read(ref _packets);

    /// <summary>Completes when the thread has left the channel.</summary>
    public Task Stopped => _stopped.Task;

    public void Start() => _thread.Start();

    public void Abort() => _channel.Abort();

    public async Task FinishAsync(TimeSpan drain, CancellationToken cancellationToken)
    {
        // Shut our side down first: a thread still waiting for a packet after the last sync then sees the peer's end, or the deadline below.
        var closed = _channel.CloseAsync(drain, cancellationToken);
        await closed.ConfigureAwait(false);
        await Stopped.ConfigureAwait(false);
    }

    private void Run()
    {
        try
        {
            using var header = _pool.RentBlock(_thread.Name!);
            while (ReceivePacket(header))
            {
            }
        }
        catch (ChannelException failure)
        {
            _owner.ReportFailure(failure);
        }
        catch (Exception surprise)
        {
            _owner.ReportFailure(new ChannelException(FailureReason.LocalFailure, _channel.Name, surprise.Message, surprise));
        }
        finally
        {
            _stopped.SetResult();
        }
    }

    /// <summary>Receives one packet. False when the channel has ended at a packet boundary or the migration is over.</summary>
    internal bool ReceivePacket(PooledBlock block)
    {
        Span<IoVec> vectors = stackalloc IoVec[MultifdPacket.PagesPerPacket];
        vectors[0] = new IoVec(block.Address, MultifdPacket.HeaderSize);
        var result = _channel.Receive(vectors[..1]);
        if (!result.Complete)
        {
            if (result.Bytes == 0 && result.End is ChannelEnd.Closed)
            {
                _owner.Barrier.ChannelEnded(_id);
                return false;
            }

            throw ChannelException.From(result, _channel, "reading a multifd packet header");
        }

        var header = block.Span[..MultifdPacket.HeaderSize];
        if (!MultifdPacketReader.TryRead(header, out var packet, out var error))
        {
            throw ChannelException.Malformed(_channel.Name, error!);
        }

        if (packet.PageCount > 0)
        {
            ReceivePages(in packet, vectors);
        }

        Volatile.Write(ref _packets, _packets + 1);
        return !packet.IsSync || _owner.Barrier.ArriveAndWait(_id);
    }

    private void ReceivePages(in MultifdPacketReader packet, Span<IoVec> vectors)
    {
        var pages = _owner.Pages
            ?? throw ChannelException.Violation(_channel.Name, "a packet with pages before the list of RAM blocks");
        if (!pages.Memory.TryGetBlock(packet.BlockName, out var block))
        {
            throw ChannelException.Violation(_channel.Name, $"unknown RAM block {WireName.Quote(packet.BlockName)}");
        }

        if (!packet.TryCheckOffsets(block.Length, out var error))
        {
            throw ChannelException.Violation(_channel.Name, $"block '{block.Name}': {error}");
        }

        if (packet.NormalPages > 0)
        {
            var result = _channel.Receive(PlanScatter(in packet, block, vectors));
            if (!result.Complete)
            {
                throw ChannelException.From(result, _channel, "reading pages");
            }

            RecordData(in packet, block, pages);
        }

        for (var i = 0; i < packet.ZeroPages; i++)
        {
            pages.PlaceZero(block, packet.Offset(packet.NormalPages + i) >> TargetPage.Shift);
        }

        Volatile.Write(ref _normalPages, _normalPages + packet.NormalPages);
        Volatile.Write(ref _zeroPages, _zeroPages + packet.ZeroPages);
    }

    /// <summary>One vector per run of contiguous pages.</summary>
    private static Span<IoVec> PlanScatter(in MultifdPacketReader packet, RamBlock block, Span<IoVec> vectors)
    {
        var runs = 0;
        for (var i = 0; i < packet.NormalPages;)
        {
            var length = RunLength(in packet, i);
            vectors[runs++] = new IoVec(block.Address + (nint)packet.Offset(i), (nuint)length << TargetPage.Shift);
            i += length;
        }

        return vectors[..runs];
    }

    private static void RecordData(in MultifdPacketReader packet, RamBlock block, ReceivedPages pages)
    {
        for (var i = 0; i < packet.NormalPages;)
        {
            var length = RunLength(in packet, i);
            pages.RecordData(block, packet.Offset(i) >> TargetPage.Shift, length);
            i += length;
        }
    }

    private static int RunLength(in MultifdPacketReader packet, int start)
    {
        var first = packet.Offset(start);
        var length = 1;
        while (start + length < packet.NormalPages && packet.Offset(start + length) == first + ((long)length << TargetPage.Shift))
        {
            length++;
        }

        return length;
    }
}
