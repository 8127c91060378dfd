using DataPlane.Linux;
using DataPlane.Multifd.Compression;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Multifd;

/// <summary>
/// One multifd channel of a destination: a named thread that reads a header, checks it as a whole, then scatters the payload into guest
/// memory.
/// </summary>
/// <remarks>
/// One receive call per packet in the steady state, no copy in user space, no managed allocation. Specification: 3-multifd section 2.1.
/// </remarks>
internal sealed partial class MultifdReceiveChannel
{
    /// <summary>Two headers at a time: the one whose pages are being placed, and the next.</summary>
    private const int HeaderSlotSize = 2048;

    private readonly int _id;
    private readonly MultifdReceiver _owner;
    private readonly BlockPool _pool;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _thread;
    private readonly object _gate = new();
    private readonly MemoryDoor _door = new();
    private Channel? _channel;
    private PayloadDecompressor? _decompressor;
    private long _staged;
    private bool _aborted;
    private long _normalPages;
    private long _zeroPages;
    private long _packets;
    private int _slot;
    private bool _headerIsIn;
    private bool _ended;

    public MultifdReceiveChannel(int id, MultifdReceiver owner, BlockPool pool)
    {
        _id = id;
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

    /// <summary>From now on nothing that comes here touches guest memory. False when something is being placed.</summary>
    public bool TryCloseMemory() => _door.TryClose();

    /// <summary>Gives the thread its connection, whose init packet has been read.</summary>
    public void Attach(Channel channel)
    {
        lock (_gate)
        {
            _channel = channel;
            Monitor.Pulse(_gate);
            if (_aborted)
            {
                channel.Abort();
            }
        }
    }

    /// <summary>Resets the connection, if there is one, and frees the thread.</summary>
    public void Abort()
    {
        lock (_gate)
        {
            _aborted = true;
            Monitor.Pulse(_gate);
            _channel?.Abort();
        }
    }

    public async Task FinishAsync(TimeSpan drain, CancellationToken cancellationToken)
    {
        if (_channel is null)
        {
            Abort();
        }
        else
        {
            // A thread that still waits for a packet after the last sync sees the peer's end, or that of the drain.
            await _channel.CloseAsync(drain, cancellationToken).ConfigureAwait(false);
        }

        await Stopped.ConfigureAwait(false);
    }

    private void Run()
    {
        try
        {
            using var header = _pool.RentBlock(_thread.Name!);
            if (WaitForChannel() is { } channel)
            {
                while (ReceivePacket(channel, header))
                {
                }
            }
        }
        catch (ChannelException failure)
        {
            _owner.ReportFailure(failure);
        }
        catch (Exception surprise)
        {
            _owner.ReportFailure(new ChannelException(FailureReason.LocalFailure, $"multifd {_id}", surprise.Message, surprise));
        }
        finally
        {
            _decompressor?.Dispose();
            _owner.Staging.Change(ref _staged, 0, "", "");
            _stopped.SetResult();
        }
    }

    private Channel? WaitForChannel()
    {
        lock (_gate)
        {
            while (_channel is null && !_aborted)
            {
                Monitor.Wait(_gate);
            }

            return _channel;
        }
    }

    /// <summary>Receives one packet. False when the channel has ended at a packet boundary or the migration is over.</summary>
    internal bool ReceivePacket(Channel channel, PooledBlock block)
    {
        Span<IoVec> vectors = stackalloc IoVec[MultifdPacket.PagesPerPacket + 1];
        if (!_headerIsIn && !TryReceiveHeader(channel, block, vectors))
        {
            _owner.Barrier.ChannelEnded(_id);
            return false;
        }

        _headerIsIn = false;
        if (!MultifdPacketReader.TryRead(Header(block), _owner.Methods.Expected(Header(block)), out var packet, out var error))
        {
            throw ChannelException.Malformed(channel.Name, error!);
        }

        if (packet.PageCount > 0)
        {
            if (!_door.TryEnter())
            {
                throw ChannelException.Violation(channel.Name, "a packet with pages after the source's last sync");
            }

            // Not left on a failure: half a packet is no state to commit.
            ReceivePages(channel, in packet, block, vectors);
            _door.Leave();
        }

        Volatile.Write(ref _packets, _packets + 1);
        return !packet.IsSync || _owner.Barrier.ArriveAndWait(_id);
    }

    private bool TryReceiveHeader(Channel channel, PooledBlock block, Span<IoVec> vectors)
    {
        if (_ended)
        {
            return false;
        }

        vectors[0] = HeaderVector(block);
        var result = channel.Receive(vectors[..1]);
        return result switch
        {
            { Complete: true } => true,
            // Before the guest's memory is there no source ends a channel: it has died, or was none.
            { Bytes: 0, End: ChannelEnd.Closed } when _owner.Pages is not null => false,
            _ => throw ChannelException.From(result, channel, "reading a multifd packet header"),
        };
    }

    private ReadOnlySpan<byte> Header(PooledBlock block) => block.Span.Slice(_slot * HeaderSlotSize, MultifdPacket.HeaderSize);

    private IoVec HeaderVector(PooledBlock block) => new(block.Address + (_slot * HeaderSlotSize), MultifdPacket.HeaderSize);
}
