namespace DataPlane.Wire;

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
