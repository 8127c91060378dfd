using System.Buffers.Binary;
using System.Text;

namespace DataPlane.QemuTests.Guard.Strangers;

/// <summary>
/// The first bytes of a migration's channels, true and false, written out by hand: the product's own codecs have no part in them.
/// </summary>
internal static class StrangerBytes
{
    private const ulong PageRecord = 0x008;
    private const int PageBytes = 4096;

    public static byte[] Http { get; } = Encoding.ASCII.GetBytes("GET / HTTP/1.0\r\n\r\n");

    /// <summary>A main channel's first bytes, up to and with the machine's name.</summary>
    public static byte[] Main { get; } = MainOfVersion(3);

    /// <summary>A lone end-of-section word, as a preempt channel without a page ends.</summary>
    public static byte[] LoneEnd { get; } = [0, 0, 0, 0, 0, 0, 0, 0x10];

    /// <summary>The head of a TLS 1.3 ClientHello that never goes on.</summary>
    public static byte[] ClientHello { get; } = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, .. new byte[32]];

    /// <summary>A main channel that proves itself, announces memory in one block, and stops there.</summary>
    public static byte[] MainWithBlocks(long bytes)
    {
        var total = new byte[8];
        var length = new byte[8];
        BinaryPrimitives.WriteInt64BigEndian(total, bytes | 0x004);
        BinaryPrimitives.WriteInt64BigEndian(length, bytes);
        return
        [
            .. Main, 1, 0, 0, 0, 2, 3, .. "ram"u8, 0, 0, 0, 0, 0, 0, 0, 4,
            .. total, 6, .. "pc.ram"u8, .. length,
        ];
    }

    public static byte[] MainOfVersion(byte version)
    {
        byte[] name = [.. "pc-q35-7.2"u8];
        return [0x51, 0x45, 0x56, 0x4d, 0, 0, 0, version, 0x07, 0, 0, 0, (byte)name.Length, .. name];
    }

    public static byte[] MultifdInit(Guid uuid, int id, byte version = 1)
    {
        var packet = new byte[64];
        BinaryPrimitives.WriteUInt32BigEndian(packet, 0x11223344);
        packet[7] = version;
        uuid.TryWriteBytes(packet.AsSpan(8, 16), bigEndian: true, out _);
        packet[24] = (byte)id;
        return packet;
    }

    /// <summary>A recovered main channel's first command.</summary>
    public static byte[] Recovery(string block) =>
        [0x08, 0x00, 0x0a, 0x00, (byte)(block.Length + 1), (byte)block.Length, .. Encoding.ASCII.GetBytes(block)];

    /// <summary>A page on a preempt channel, whole.</summary>
    public static byte[] PreemptRecord(string block, ulong offset)
    {
        var name = Encoding.ASCII.GetBytes(block);
        var record = new byte[8 + 1 + name.Length + PageBytes];
        BinaryPrimitives.WriteUInt64BigEndian(record, offset | PageRecord);
        record[8] = (byte)name.Length;
        name.CopyTo(record, 9);
        record.AsSpan(9 + name.Length).Fill(0xBD);
        return record;
    }

    /// <summary>The same bytes in every run, beginning like no channel.</summary>
    public static byte[] Garbage(int length)
    {
        var bytes = new byte[length];
        new Random(length).NextBytes(bytes);
        bytes[0] = 0xEE;
        return bytes;
    }
}
