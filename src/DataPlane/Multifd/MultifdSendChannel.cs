using DataPlane.Linux;
using DataPlane.MainStream;
using DataPlane.Memory;
using DataPlane.Multifd.Compression;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Multifd;

/// <summary>
/// One multifd channel of a source: a named thread that sends header and pages of a packet in one vectored call, straight from guest
/// memory.
/// </summary>
/// <remarks>A packet costs one send call and no managed allocation, and without compression no copy in user space.</remarks>
internal sealed class MultifdSendChannel
{
    private readonly BlockPool _pool;
    private readonly PacketCounter _packetNumbers;
    private readonly CompressionSettings _compression;
    private readonly object _gate = new();
    private readonly TaskCompletionSource _stopped = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Thread _thread;
    private Channel? _channel;
    private ZeroPageRecords? _zeroRecords;
    private SendLimit? _limit;
    private PayloadCompressor? _compressor;
    private SendRound? _next;
    private bool _stopping;
    private long _normalPages;
    private long _zeroPages;

    public MultifdSendChannel(int id, BlockPool pool, PacketCounter packetNumbers, CompressionSettings compression = default)
    {
        _pool = pool;
        _packetNumbers = packetNumbers;
        _compression = compression;
        _thread = new Thread(Run) { Name = $"dp-send-{id}", IsBackground = true };
    }

    /// <summary>Pages that were sent with their bytes. Any thread may read it.</summary>
    public long NormalPages => Volatile.Read(ref _normalPages);

    /// <summary>Zero pages that were sent in packets or handed over to main. Any thread may read it.</summary>
    public long ZeroPages => Volatile.Read(ref _zeroPages);

    /// <summary>Completes when the thread has ended.</summary>
    public Task Stopped => _stopped.Task;

    public void Start() => _thread.Start();

    /// <summary>Gives the thread its connection. To be called before the first round.</summary>
    /// <param name="channel">The connection.</param>
    /// <param name="zeroRecords">Takes the zero pages, to be sent on main; null if they are sent in packets.</param>
    /// <param name="limit">The rate limit of all channels together; null for none.</param>
    public void Attach(Channel channel, ZeroPageRecords? zeroRecords = null, SendLimit? limit = null)
    {
        _channel = channel;
        _zeroRecords = zeroRecords;
        _limit = limit;
    }

    /// <summary>Lets the thread work on <paramref name="round"/>. The round before must have ended.</summary>
    public void Begin(SendRound round)
    {
        lock (_gate)
        {
            _next = round;
            Monitor.Pulse(_gate);
        }
    }

    /// <summary>Lets the thread end after the round it works on. Returns at once.</summary>
    public void Stop()
    {
        lock (_gate)
        {
            _stopping = true;
            Monitor.Pulse(_gate);
        }
    }

    private void Run()
    {
        PageBatch? batch = null;
        try
        {
            batch = PageBatch.Pool.Get();
            using var header = _pool.RentBlock(_thread.Name!);
            while (TakeRound() is { } round && SendRoundAndReport(round, batch, header))
            {
            }
        }
        catch (Exception failure)
        {
            // Without a block nothing can be sent. That is told by failing the first round, because nobody waits for this thread before it.
            TakeRound()?.Fail(new ChannelException(
                FailureReason.LocalFailure, _channel?.Name ?? _thread.Name!, failure.Message, failure));
        }
        finally
        {
            if (batch is not null)
            {
                PageBatch.Pool.Return(batch);
            }

            _compressor?.Dispose();
            _stopped.SetResult();
        }
    }

    /// <summary>Waits for the next round. Returns null if there will be none.</summary>
    private SendRound? TakeRound()
    {
        lock (_gate)
        {
            while (_next is null && !_stopping)
            {
                Monitor.Wait(_gate);
            }

            var round = _next;
            _next = null;
            return round;
        }
    }

    private bool SendRoundAndReport(SendRound round, PageBatch batch, PooledBlock header)
    {
        try
        {
            while (!round.Failed && round.Feed?.TryTake(batch) == true)
            {
                SendPages(batch, header);
            }

            SendSync(header);
            round.ChannelDone();
            return true;
        }
        catch (Exception failure)
        {
            round.Fail(failure);
            return false;
        }
    }

    public void SendPages(PageBatch batch, PooledBlock headerBlock)
    {
        Span<IoVec> vectors = stackalloc IoVec[1 + MultifdPacket.PagesPerPacket + PayloadCompressor.ExtraVectors];
        Span<long> onMain = stackalloc long[MultifdPacket.PagesPerPacket];
        var zeroOnMain = 0;
        var compressor = _compressor ??= _compression.CreateCompressor(_channel!.Name);
        var packet = MultifdPacketWriter.Begin(
            headerBlock.Span, batch.Block.Utf8Name, _packetNumbers.Next(), compressor?.Method ?? MultifdFlags.None);
        var vectorCount = 1;
        nint end = 0;
        foreach (var run in batch.Runs)
        {
            var offset = run.Offset;
            for (var i = 0; i < run.PageCount; i++, offset += TargetPage.Size)
            {
                var address = run.Block.Address + (nint)offset;
                if (batch.IsZero(run.FirstPage + i))
                {
                    if (_zeroRecords is null)
                    {
                        packet.AddZero(offset);
                    }
                    else
                    {
                        onMain[zeroOnMain++] = offset;
                    }

                    continue;
                }

                if (compressor?.TrySetAside(address, offset) == true)
                {
                    continue;
                }

                packet.AddNormal(offset);
                if (address == end)
                {
                    vectors[vectorCount - 1] = new IoVec(
                        vectors[vectorCount - 1].Address, vectors[vectorCount - 1].Length + TargetPage.Size);
                }
                else
                {
                    vectors[vectorCount++] = new IoVec(address, TargetPage.Size);
                }

                end = address + TargetPage.Size;
            }
        }

        if (zeroOnMain > 0)
        {
            _zeroRecords!.Add(batch.Block, onMain[..zeroOnMain]);
        }

        if (zeroOnMain < batch.PageCount)
        {
            packet.Finish(compressor?.Compress(ref packet, vectors, ref vectorCount) ?? packet.NormalPages * TargetPage.Size);
            vectors[0] = new IoVec(headerBlock.Address, MultifdPacket.HeaderSize);
            Send(vectors[..vectorCount], "sending pages");
        }

        Volatile.Write(ref _normalPages, _normalPages + packet.NormalPages);
        Volatile.Write(ref _zeroPages, _zeroPages + packet.ZeroPages + zeroOnMain);
    }

    /// <summary>
    /// Sends a SYNC packet, always without pages: destinations of QEMU 9.2.0 lose the pages of a SYNC packet (specification, 3-multifd
    /// section 3.4).
    /// </summary>
    public void SendSync(PooledBlock headerBlock)
    {
        MultifdPacketWriter.WriteSync(headerBlock.Span, _packetNumbers.Next());
        Span<IoVec> vectors = [new IoVec(headerBlock.Address, MultifdPacket.HeaderSize)];
        Send(vectors, "sending a sync");
    }

    private void Send(Span<IoVec> vectors, string doing)
    {
        var channel = _channel!;
        _limit?.Take(vectors);
        var result = channel.Send(vectors);
        if (!result.Complete)
        {
            throw ChannelException.From(result, channel, doing);
        }
    }
}
