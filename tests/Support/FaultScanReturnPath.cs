using System.Buffers.Binary;

namespace DataPlane.TestSupport;

/// <summary>What a destination says: SHUT, PONG, REQ_PAGES (with a name or without), RECV_BITMAP, RESUME_ACK, SWITCHOVER_ACK.</summary>
internal sealed class FaultScanReturnPath : FaultScan
{
    private const int Header = 4;
    private const int EndMark = 8;

    private bool _expectsBitmap;

    protected override int Next(ReadOnlySpan<byte> bytes)
    {
        if (_expectsBitmap)
        {
            return Bitmap(bytes);
        }

        if (bytes.Length < Header || bytes.Length < Header + U16(bytes[2..]))
        {
            return 0;
        }

        int length = U16(bytes[2..]);
        var type = U16(bytes);
        var record = type switch
        {
            1 => "SHUT",
            2 => "PONG",
            3 or 4 => "REQ_PAGES",
            5 => "RECV_BITMAP",
            6 => "RESUME_ACK",
            7 => "SWITCHOVER_ACK",
            _ => $"{type}",
        };
        Tell(record, length == sizeof(uint) ? U32(bytes[Header..]) : 0);
        _expectsBitmap = record == "RECV_BITMAP";
        return Header + length;
    }

    private int Bitmap(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < sizeof(ulong))
        {
            return 0;
        }

        _expectsBitmap = false;
        Skip((long)BinaryPrimitives.ReadUInt64BigEndian(bytes) + EndMark);
        return sizeof(ulong);
    }
}
