using DataPlane.Wire;

namespace DataPlane.Fuzz.Targets;

/// <summary>The headers of multifd channels: the first packet, and those of pages with each compression.</summary>
internal sealed class MultifdRecords : IFuzzTarget
{
    private static readonly MultifdFlags[] s_methods = [MultifdFlags.None, MultifdFlags.Zlib, MultifdFlags.Zstd];

    private readonly byte[] _room = new byte[MultifdPacket.HeaderSize];

    public string Reads => "codecs of multifd channels: first packet, headers of pages, plain and compressed";

    public int MaxInputBytes => MultifdPacket.HeaderSize + 64;

    public long MaxAllocatedBytes => 16 << 10;

    public bool Run(ReadOnlySpan<byte> input)
    {
        var choices = new FuzzInput(input);
        var choice = choices.Choice(4);
        return choice == 3 ? Init(choices.Rest) : Packet(choices.Rest, s_methods[choice]);
    }

    private bool Init(ReadOnlySpan<byte> source)
    {
        var accepted = MultifdInit.TryRead(source, out var init, out var error);
        Oracle.Consistent(accepted, error);
        if (!accepted)
        {
            return false;
        }

        const int UnusedStart = 25;
        init.Write(_room);
        Oracle.Same(_room.AsSpan(0, UnusedStart), source[..UnusedStart], "first packet of a multifd channel");
        return true;
    }

    private bool Packet(ReadOnlySpan<byte> source, MultifdFlags method)
    {
        var accepted = MultifdPacketReader.TryRead(source, method, out var packet, out var error);
        Oracle.Consistent(accepted, error);
        if (!accepted)
        {
            return false;
        }

        Oracle.Holds(packet.NormalPages >= 0 && packet.ZeroPages >= 0 && packet.PageCount <= MultifdPacket.PagesPerPacket);
        Oracle.Holds(packet.PayloadBytes >= 0 && packet.PayloadBytes <= WireLimits.MaxCompressedPacketBytes);
        Oracle.Holds((packet.NormalPages == 0) == (packet.PayloadBytes == 0));
        if (packet.PageCount == 0)
        {
            return false;
        }

        const long BlockLength = 1L << 20;
        var fits = packet.TryCheckOffsets(BlockLength, out error);
        Oracle.Consistent(fits, error);
        if (!fits)
        {
            return false;
        }

        for (var i = 0; i < packet.PageCount; i++)
        {
            Oracle.Holds(packet.Offset(i) is >= 0 and <= BlockLength - WireLimits.PageSize && packet.Offset(i) % WireLimits.PageSize == 0);
        }

        WriteAgain(in packet, source, method);
        return true;
    }

    /// <summary>Field by field: what a packet has after its pages and in unused fields is stale with some QEMUs, and zero here.</summary>
    private void WriteAgain(in MultifdPacketReader packet, ReadOnlySpan<byte> source, MultifdFlags method)
    {
        var writer = MultifdPacketWriter.Begin(_room, packet.BlockName, packet.PacketNumber, method);
        for (var i = 0; i < packet.PageCount; i++)
        {
            if (i < packet.NormalPages)
            {
                writer.AddNormal(packet.Offset(i));
            }
            else
            {
                writer.AddZero(packet.Offset(i));
            }
        }

        writer.Finish(packet.PayloadBytes);
        Oracle.Holds(MultifdPacketReader.TryRead(_room, method, out var again, out _));
        Oracle.Holds(again.NormalPages == packet.NormalPages && again.ZeroPages == packet.ZeroPages);
        Oracle.Holds(again.PayloadBytes == packet.PayloadBytes && again.PacketNumber == packet.PacketNumber);
        Oracle.Same(again.BlockName, packet.BlockName, "block name of a packet");
        var normal = packet.NormalPages * sizeof(ulong);
        Oracle.Same(
            _room.AsSpan(MultifdPacket.OffsetsOffset, normal), source.Slice(MultifdPacket.OffsetsOffset, normal), "offsets of a packet");
        for (var i = 0; i < packet.ZeroPages; i++)
        {
            // The writer collects zero pages from the far end: they are the same ones in the other order.
            var found = false;
            for (var k = 0; k < packet.ZeroPages && !found; k++)
            {
                found = again.Offset(again.NormalPages + k) == packet.Offset(packet.NormalPages + i);
            }

            Oracle.Holds(found);
        }
    }
}
