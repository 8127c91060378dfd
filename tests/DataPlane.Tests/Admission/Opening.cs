using DataPlane.Wire;

namespace DataPlane.Tests.Admission;

/// <summary>First bytes of connections, honest and not.</summary>
internal static class Opening
{
    internal static readonly Guid Uuid = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");

    /// <summary>Magic, version, the configuration section, and the first byte of a command.</summary>
    internal static byte[] Main => [0x51, 0x45, 0x56, 0x4D, 0, 0, 0, 3, 0x07, 0, 0, 0, 2, (byte)'p', (byte)'c', 0x08];

    internal static byte[] Http => "GET / HTTP/1.0\r\n\r\n"u8.ToArray();

    internal static byte[] TlsHello => [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];

    internal static byte[] Recovery => [0x08, 0x00, 0x0A, 0x00, 0x07, 0x06, .. "pc.ram"u8];

    internal const uint PageFlag = 8;
    internal const uint ZeroFlag = 2;

    /// <summary>A preempt channel's end.</summary>
    internal static byte[] End => [0, 0, 0, 0, 0, 0, 0, 0x10];

    internal static byte[] PageRecord => [0, 0, 0, 0, 0x01, 0x23, 0x40, 0x08, 6, .. "pc.ram"u8];

    internal static byte[] Multifd(int id, Guid? uuid = null)
    {
        var bytes = new byte[MultifdInit.Size];
        new MultifdInit(uuid ?? Uuid, (byte)id).Write(bytes);
        return bytes;
    }

    internal static byte[] Record(long offset, uint flags, string block = ScriptedHost.Block)
    {
        byte[] bytes = [0, 0, 0, 0, 0, 0, 0, 0, (byte)block.Length, .. System.Text.Encoding.UTF8.GetBytes(block)];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt64BigEndian(bytes, (ulong)offset | flags);
        return bytes;
    }

    internal static byte[] With(byte[] opening, int offset, byte value)
    {
        opening[offset] = value;
        return opening;
    }
}
