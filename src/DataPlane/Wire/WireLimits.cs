namespace DataPlane.Wire;

/// <summary>
/// The limits of what a peer may announce. Every parser of this namespace checks them before it uses or allocates anything.
/// </summary>
internal static class WireLimits
{
    /// <summary>The size of a target page. It leaves the low 12 bits of a RAM record's first word to the flags.</summary>
    public const int PageSize = TargetPage.Size;

    public const int PageOffsetMask = PageSize - 1;

    /// <summary>Names carry their length in one byte; length 0 is an error everywhere on the main channel.</summary>
    public const int MaxNameLength = 255;

    /// <summary>The longest name QEMU's machine types can have; the wire would allow 4 GiB.</summary>
    public const int MaxMachineNameLength = 255;

    /// <summary>
    /// The most capabilities in a configuration. QEMU lists two at most; the limit has room for later ones and bounds the loop.
    /// </summary>
    public const int MaxCapabilities = 64;

    /// <summary>The most RAM blocks; a large guest with every kind of device has some dozens.</summary>
    public const int MaxRamBlocks = 4096;

    /// <summary>Largest host page a RAM block can have on x86 (1 GiB huge pages).</summary>
    public const long MaxBlockPageSize = 1L << 30;

    /// <summary>zlib's bound for a stored page of 4096 bytes: longer data cannot come from one page.</summary>
    public const int MaxCompressedPageBytes = 4110;

    /// <summary>The longest VM description. One of 46 devices has 81 KB, so 64 MiB stands for several ten thousand devices.</summary>
    public const int MaxVmDescriptionBytes = 64 << 20;

    /// <summary>
    /// The most devices in a VM description; guests with thousands of vCPUs have far fewer. It bounds the objects made from it.
    /// </summary>
    public const int MaxDevices = 65536;

    /// <summary>
    /// The most device sections among those of RAM: one for each virtio-mem device, of which a machine has some dozens at most.
    /// </summary>
    public const int MaxEarlySections = 1024;

    /// <summary>
    /// The most bytes of device sections before the RAM. virtio-mem sends a bit per block: 64 KiB for 1 TiB in blocks of 2 MiB.
    /// </summary>
    public const int MaxEarlyBytes = 16 << 20;

    /// <summary>The size of a QEMU's receive buffer for one compressed packet; QEMU as a source stays below 527 000 bytes.</summary>
    public const int MaxCompressedPacketBytes = 1 << 20;

    /// <summary>
    /// The longest message of the return path: a QEMU source drops the path at a longer one. None of the known ones exceeds 268 bytes.
    /// </summary>
    public const int MaxReturnPathMessageBytes = 512;
}
