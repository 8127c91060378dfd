namespace DataPlane.Wire;

/// <summary>
/// What a peer may announce at most; every parser of this room checks against these before it uses or allocates anything.
/// </summary>
internal static class WireLimits
{
    /// <summary>x86 target pages. The low bits of a RAM record's first word are flags only because of this size.</summary>
    public const int PageSize = 4096;

    public const int PageOffsetMask = PageSize - 1;

    /// <summary>Names carry their length in one byte; length 0 is an error everywhere on the main channel.</summary>
    public const int MaxNameLength = 255;

    /// <summary>The longest name QEMU's machine types can have; the wire would allow 4 GiB.</summary>
    public const int MaxMachineNameLength = 255;

    /// <summary>QEMU lists two capabilities at most; room for those of later versions, not for a loop of four billion.</summary>
    public const int MaxCapabilities = 64;

    /// <summary>A large guest with every kind of device has some dozens of blocks.</summary>
    public const int MaxRamBlocks = 4096;

    /// <summary>Largest host page a RAM block can have on x86 (1 GiB huge pages).</summary>
    public const long MaxBlockPageSize = 1L << 30;

    /// <summary>zlib's bound for a stored page of 4096 bytes: longer input cannot come from one page.</summary>
    public const int MaxCompressedPageBytes = 4110;

    /// <summary>A description of 46 devices is 81 KB; 64 MiB stands for several ten thousand devices.</summary>
    public const int MaxVmDescriptionBytes = 64 << 20;

    /// <summary>Sections of a guest with thousands of vCPUs stay far below; it bounds the objects made from a description.</summary>
    public const int MaxDevices = 65536;

    /// <summary>Device sections among those of RAM: one for each virtio-mem device, of which a machine has some dozens at most.</summary>
    public const int MaxEarlySections = 1024;

    /// <summary>Their bytes before the RAM: virtio-mem sends a bit for each of its blocks, 64 KiB for 1 TiB in blocks of 2 MiB.</summary>
    public const int MaxEarlyBytes = 16 << 20;

    /// <summary>Receive buffer of a QEMU for one compressed packet; its sources stay below 527 000 bytes.</summary>
    public const int MaxCompressedPacketBytes = 1 << 20;

    /// <summary>A QEMU source drops a return path whose message is longer; none of the known ones exceeds 268 bytes.</summary>
    public const int MaxReturnPathMessageBytes = 512;
}
