using DataPlane.Linux;
using DataPlane.Wire;

namespace DataPlane.Multifd;

/// <summary>Treats the normal pages of a received packet as runs of contiguous pages.</summary>
internal static class PacketPages
{
    /// <summary>Fills <paramref name="vectors"/> with one vector per run of contiguous pages, and returns their number.</summary>
    public static int PlanScatter(in MultifdPacketReader packet, RamBlock block, Span<IoVec> vectors)
    {
        var runs = 0;
        for (var i = 0; i < packet.NormalPages;)
        {
            var length = RunLength(in packet, i);
            vectors[runs++] = new IoVec(block.Address + (nint)packet.Offset(i), (nuint)length << TargetPage.Shift);
            i += length;
        }

        return runs;
    }

    /// <summary>Records that the packet's normal pages are in their places.</summary>
    public static void RecordData(in MultifdPacketReader packet, RamBlock block, ReceivedPages pages)
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
