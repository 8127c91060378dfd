using DataPlane.Linux;
using DataPlane.Multifd.Compression;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Multifd;

/// <summary>
/// One multifd channel of a destination: a named thread that reads a header, checks all of it, then receives the payload into guest memory.
/// </summary>
/// <remarks>
/// In the steady state a packet costs one receive call, no copy in user space and no managed allocation. With compression the payload is
/// received into a buffer and decoded from there. Specification: 3-multifd section 2.1.
/// </remarks>
internal sealed partial class MultifdReceiveChannel
{
    /// <summary>The block holds two headers: that of the packet whose pages are being placed, and the next one.</summary>
    private const int HeaderSlotSize = 2048;

    private readonly int _id;
    private readonly MultifdReceiver _owner;
    private readonly BlockPool _pool;
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _thread;
    private readonly object _gate = new();
    private readonly MemoryAccess _memoryAccess = new();
    private Channel? _channel;
    private PayloadDecompressor? _decompressor;
    private long _staged;
    private bool _aborted;
    private long _normalPages;
    private long _zeroPages;
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

    /// <summary>Pages that came with their bytes. Any thread may read it.</summary>
    public long NormalPages => Volatile.Read(ref _normalPages);

    /// <summary>Pages that came as zero pages. Any thread may read it.</summary>
    public long ZeroPages => Volatile.Read(ref _zeroPages);

    /// <summary>Completes when the thread no longer uses the channel.</summary>
    public Task Stopped => _stopped.Task;

    public void Start() => _thread.Start();

    /// <summary>
    /// Closes guest memory to this channel. Returns false if the channel is placing a packet; see <see cref="MemoryAccess.TryClose"/>.
    /// </summary>
    public bool TryCloseMemory() => _memoryAccess.TryClose();

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

    /// <summary>Resets the connection, if there is one, and ends the thread.</summary>
    public void Abort()
    {
        lock (_gate)
        {
            _aborted = true;
            Monitor.Pulse(_gate);
            _channel?.Abort();
        }
    }

    /// <summary>Closes the connection, reading it to its end for at most <paramref name="drain"/>, and waits for the thread.</summary>
    public async Task FinishAsync(TimeSpan drain, CancellationToken cancellationToken)
    {
        if (_channel is null)
        {
            Abort();
        }
        else
        {
            // A thread that waits for a packet after the last sync returns when the peer closes, or when the drain ends.
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
            _owner.ReportFailure(new ChannelException(FailureReason.LocalFailure, ChannelId.Multifd(_id), surprise.Message, surprise));
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

    /// <summary>
    /// Receives one packet. Returns false when the channel has ended at a packet boundary, or when the migration is over.
    /// </summary>
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
            if (!_memoryAccess.TryEnter())
            {
                throw ChannelException.Violation(channel.Name, "a packet with pages after the source's last sync");
            }

            // A failure leaves the memory entered, so that memory with half a packet in it can never be closed and committed.
            ReceivePages(channel, in packet, block, vectors);
            _memoryAccess.Leave();
        }

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
            // No source ends a channel before it has sent the list of RAM blocks: this peer has died, or was never a source.
            { Bytes: 0, End: ChannelEnd.Closed } when _owner.Pages is not null => false,
            _ => throw ChannelException.From(result, channel, "reading a multifd packet header"),
        };
    }

    private ReadOnlySpan<byte> Header(PooledBlock block) => block.Span.Slice(_slot * HeaderSlotSize, MultifdPacket.HeaderSize);

    private IoVec HeaderVector(PooledBlock block) => new(block.Address + (_slot * HeaderSlotSize), MultifdPacket.HeaderSize);
}
