using DataPlane.Linux;
using DataPlane.Memory;
using DataPlane.Multifd.Compression;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Multifd;

/// <content>Places the pages of a packet whose header has been checked.</content>
internal sealed partial class MultifdReceiveChannel
{
    private void ReceivePages(Channel channel, in MultifdPacketReader packet, PooledBlock block, Span<IoVec> vectors)
    {
        var pages = _owner.Pages
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
        _owner.Staging.Change(ref _staged, _decompressor.MemoryBytes, channel.Name, "what its compressed stream refers back to");
        if (error is not null)
        {
            throw ChannelException.Malformed(channel.Name, error);
        }
    }
}
