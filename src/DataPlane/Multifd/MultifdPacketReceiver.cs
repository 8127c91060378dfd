using DataPlane.Linux;
using DataPlane.Multifd.Compression;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Multifd;

/// <summary>
/// Receives the packets of one multifd channel of a destination, one after the other: reads a header, checks all of it, then receives the
/// payload into guest memory. One thread uses it, except where a member says otherwise.
/// </summary>
/// <remarks>
/// In the steady state a packet costs one receive call, no copy in user space and no managed allocation. With compression the payload is
/// received into a buffer and decoded from there. Specification: 3-multifd section 2.1.
/// </remarks>
internal sealed class MultifdPacketReceiver(int id, MultifdReceiver owner)
{
    /// <summary>The block holds two headers: that of the packet whose pages are being placed, and the next one.</summary>
    private const int HeaderSlotSize = 2048;

    private readonly MemoryAccess _memoryAccess = new();
    private PayloadDecompressor? _decompressor;
    private long _staged;
    private long _normalPages;
    private long _zeroPages;
    private int _slot;
    private bool _headerIsIn;
    private bool _ended;

    /// <summary>Pages that came with their bytes. Any thread may read it.</summary>
    public long NormalPages => Volatile.Read(ref _normalPages);

    /// <summary>Pages that came as zero pages. Any thread may read it.</summary>
    public long ZeroPages => Volatile.Read(ref _zeroPages);

    /// <summary>
    /// Closes guest memory to the packets of this channel. Returns false if one is being placed; see <see cref="MemoryAccess.TryClose"/>.
    /// Any thread may call it.
    /// </summary>
    public bool TryCloseMemory() => _memoryAccess.TryClose();

    /// <summary>
    /// Receives one packet. Returns false when the channel has ended at a packet boundary, or when the migration is over.
    /// </summary>
    public bool ReceivePacket(Channel channel, PooledBlock block)
    {
        Span<IoVec> vectors = stackalloc IoVec[MultifdPacket.PagesPerPacket + 1];
        if (!_headerIsIn && !TryReceiveHeader(channel, block, vectors))
        {
            owner.Barrier.ChannelEnded(id);
            return false;
        }

        _headerIsIn = false;
        if (!MultifdPacketReader.TryRead(Header(block), owner.Methods.Expected(Header(block)), out var packet, out var error))
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

        return !packet.IsSync || owner.Barrier.ArriveAndWait(id);
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
            { Bytes: 0, End: ChannelEnd.Closed } when owner.Pages is not null => false,
            _ => throw ChannelException.From(result, channel, "reading a multifd packet header"),
        };
    }

    private void ReceivePages(Channel channel, in MultifdPacketReader packet, PooledBlock block, Span<IoVec> vectors)
    {
        var pages = owner.Pages
            ?? throw ChannelException.Violation(channel.Name, "a packet with pages before the list of RAM blocks");
        if (!pages.Memory.TryGetBlock(packet.BlockName, out var ram))
        {
            throw ChannelException.Violation(channel.Name, $"unknown RAM block {WireName.Quote(packet.BlockName)}");
        }

        if (!packet.TryCheckOffsets(ram.Length, out var error))
        {
            throw ChannelException.Violation(channel.Name, $"block '{ram.Name}': {error}");
        }

        if (packet.NormalPages > 0)
        {
            var runs = PacketPages.PlanScatter(in packet, ram, vectors);
            if (packet.Method == MultifdFlags.None)
            {
                ReceivePayload(channel, in packet, block, vectors, runs);
            }
            else
            {
                ReceiveCompressed(channel, in packet, vectors[..runs]);
            }

            PacketPages.RecordData(in packet, ram, pages);
        }

        for (var i = 0; i < packet.ZeroPages; i++)
        {
            pages.PlaceZero(ram, packet.Offset(packet.NormalPages + i) >> TargetPage.Shift);
        }

        Volatile.Write(ref _normalPages, _normalPages + packet.NormalPages);
        Volatile.Write(ref _zeroPages, _zeroPages + packet.ZeroPages);
    }

    /// <summary>
    /// Receives the payload and, in the same call, the header of the next packet. Waiting for that header delays nobody, because at least a
    /// SYNC follows the pages of every channel. After a SYNC packet no header is awaited: nothing need follow it.
    /// </summary>
    private void ReceivePayload(Channel channel, in MultifdPacketReader packet, PooledBlock block, Span<IoVec> vectors, int runs)
    {
        if (!packet.IsSync)
        {
            _slot ^= 1;
            vectors[runs++] = HeaderVector(block);
        }

        var result = channel.Receive(vectors[..runs]);
        _headerIsIn = result.Complete && !packet.IsSync;
        _ended = result.End == ChannelEnd.Closed && result.Bytes == packet.PayloadBytes;
        if (!result.Complete && !_ended)
        {
            throw ChannelException.From(result, channel, "reading pages");
        }
    }

    /// <summary>
    /// Receives the payload without the next header, then decodes it into the pages. The next header comes only when the source has
    /// compressed another packet: waiting for it would make the two sides work in turn.
    /// </summary>
    private void ReceiveCompressed(Channel channel, in MultifdPacketReader packet, ReadOnlySpan<IoVec> pages)
    {
        _decompressor ??= CompressionSettings.CreateDecompressor(packet.Method, channel.Name);
        Span<IoVec> input = [_decompressor.Input(packet.PayloadBytes)];
        var result = channel.Receive(input);
        if (!result.Complete)
        {
            throw ChannelException.From(result, channel, "reading compressed pages");
        }

        var error = _decompressor.Decompress(packet.PayloadBytes, pages);
        // The stream itself holds the size of the window it refers back to, so it is known only now: for a moment the memory may exceed the
        // limit by one window.
        owner.Staging.Change(ref _staged, _decompressor.MemoryBytes, channel.Name, "what its compressed stream refers back to");
        if (error is not null)
        {
            throw ChannelException.Malformed(channel.Name, error);
        }
    }

    /// <summary>Frees what the channel has needed for compressed pages. The receiver is not used after that.</summary>
    public void Release()
    {
        _decompressor?.Dispose();
        owner.Staging.Change(ref _staged, 0, "", "");
    }

    private ReadOnlySpan<byte> Header(PooledBlock block) => block.Span.Slice(_slot * HeaderSlotSize, MultifdPacket.HeaderSize);

    private IoVec HeaderVector(PooledBlock block) => new(block.Address + (_slot * HeaderSlotSize), MultifdPacket.HeaderSize);
}
