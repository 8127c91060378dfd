namespace DataPlane.Wire;

/// <summary>
/// Layout of a multifd RAM packet: a header of fixed size, then the payload (specification, 3-multifd section 2.1).
/// <code>
///   0    4  magic 11223344
///   4    4  version 1
///   8    4  flags
///  12    4  pages allocated, at most 128
///  16    4  normal pages: those with payload
///  20    4  payload bytes; stale in packets without pages of QEMU up to 8.1
///  24    8  packet number: statistics, gives no order
///  32    4  zero pages; 0 up to QEMU 8.2
///  36   28  unused, 0
///  64  256  block name, padded with NUL; stale in packets without pages
/// 320 1024  128 offsets: the normal pages', then the zero pages', then stale or 0
/// </code>
/// </summary>
internal static class MultifdPacket
{
    public const uint MagicNumber = 0x11223344;
    public const uint Version = 1;

    /// <summary>The most pages in a packet, 512 KiB. The format fixes the number: the header has exactly this many offsets.</summary>
    public const int PagesPerPacket = 128;

    public const int HeaderSize = OffsetsOffset + PagesPerPacket * sizeof(ulong);

    public const int VersionOffset = 4;
    public const int FlagsOffset = 8;
    public const int PagesAllocatedOffset = 12;
    public const int NormalPagesOffset = 16;
    public const int PayloadBytesOffset = 20;
    public const int PacketNumberOffset = 24;
    public const int ZeroPagesOffset = 32;
    public const int BlockNameOffset = 64;
    public const int BlockNameSize = 256;
    public const int OffsetsOffset = BlockNameOffset + BlockNameSize;

    /// <summary>The number of first bytes that tell a RAM packet from a device-state packet.</summary>
    public const int PrefixSize = 12;
}

/// <summary>
/// Flags of a multifd packet (specification, 3-multifd section 2.2). Bits 1 to 5 name one compression method, the same on all channels of a
/// migration.
/// </summary>
[Flags]
internal enum MultifdFlags : uint
{
    None = 0,
    Sync = 1,
    Zlib = 2,
    Zstd = 4,
    Qpl = 8,
    Uadk = 0x10,
    Qatzip = 0x20,
    DeviceState = 0x40,
    CompressionMask = Zlib | Zstd | Qpl | Uadk | Qatzip,
    Known = Sync | CompressionMask | DeviceState,
}
