using System.Buffers.Binary;
using static DataPlane.Wire.MultifdPacket;

namespace DataPlane.Wire;

/// <summary>
/// A received multifd header, checked as a whole before any page is touched. Only the block, and with it <see cref="TryCheckOffsets"/>, is
/// left to the receiver, who knows the blocks.
/// </summary>
internal readonly ref struct MultifdPacketReader
{
    private readonly ReadOnlySpan<byte> _header;

    private MultifdPacketReader(ReadOnlySpan<byte> header) => _header = header;

    public MultifdFlags Flags => (MultifdFlags)Field(FlagsOffset);

    /// <summary>The compression method of the payload.</summary>
    public MultifdFlags Method => Flags & MultifdFlags.CompressionMask;

    /// <summary>Whether the channel waits for the matching mark on the main channel after the pages of this packet.</summary>
    public bool IsSync => (Flags & MultifdFlags.Sync) != 0;

    public int NormalPages => (int)Field(NormalPagesOffset);

    public int ZeroPages => (int)Field(ZeroPagesOffset);

    public int PageCount => NormalPages + ZeroPages;

    /// <summary>Bytes that follow the header. In a packet without normal pages the field is stale, and this is 0.</summary>
    public int PayloadBytes => NormalPages == 0 ? 0 : (int)Field(PayloadBytesOffset);

    /// <summary>The number of the packet. It serves statistics only and gives no order.</summary>
    public ulong PacketNumber => BinaryPrimitives.ReadUInt64BigEndian(_header[PacketNumberOffset..]);

    /// <summary>The name of the RAM block; meaningless in a packet without pages.</summary>
    public ReadOnlySpan<byte> BlockName => TrimName(_header.Slice(BlockNameOffset, BlockNameSize));

    /// <summary>
    /// Byte offset in the block of page <paramref name="index"/>: normal pages first, in the order of the payload, then zero pages.
    /// </summary>
    public long Offset(int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)PageCount);
        return (long)BinaryPrimitives.ReadUInt64BigEndian(_header[(OffsetsOffset + index * sizeof(ulong))..]);
    }

    /// <summary>The compression bits of a header that has not been checked.</summary>
    public static MultifdFlags MethodOf(ReadOnlySpan<byte> header) =>
        (MultifdFlags)BinaryPrimitives.ReadUInt32BigEndian(header[FlagsOffset..]) & MultifdFlags.CompressionMask;

    /// <summary>Whether a header that has not been checked announces pages, so that its compression bits mean something.</summary>
    public static bool HasPages(ReadOnlySpan<byte> header) =>
        (BinaryPrimitives.ReadUInt32BigEndian(header[NormalPagesOffset..]) | BinaryPrimitives.ReadUInt32BigEndian(
            header[ZeroPagesOffset..])) != 0;

    /// <summary>Reads and checks a header of a migration with a given compression method.</summary>
    /// <param name="header">The <see cref="HeaderSize"/> bytes; may be shorter only to name a device-state packet in the error.</param>
    /// <param name="method">The compression bits that every packet with pages must carry.</param>
    /// <param name="packet">Reads from <paramref name="header"/>, which must stay as it is meanwhile.</param>
    /// <param name="error">Why the packet was refused.</param>
    public static bool TryRead(ReadOnlySpan<byte> header, MultifdFlags method, out MultifdPacketReader packet, out string? error)
    {
        packet = default;
        if (header.Length < PrefixSize)
        {
            error = $"a multifd packet has {HeaderSize} bytes, not {header.Length}";
            return false;
        }

        error = CheckPrefix(header);
        if (error is null && header.Length < HeaderSize)
        {
            error = $"a multifd packet has {HeaderSize} bytes, not {header.Length}";
        }

        if (error is not null)
        {
            return false;
        }

        packet = new MultifdPacketReader(header[..HeaderSize]);
        error = packet.CheckCounts() ?? packet.CheckPayload(method);
        return error is null;
    }

    /// <summary>Whether every page of the packet lies in a block of <paramref name="blockLength"/> bytes, at a page boundary.</summary>
    public bool TryCheckOffsets(long blockLength, out string? error)
    {
        var offsets = _header.Slice(OffsetsOffset, PageCount * sizeof(ulong));
        var end = blockLength < WireLimits.PageSize ? 0 : (ulong)(blockLength - WireLimits.PageSize) + 1;
        while (!offsets.IsEmpty)
        {
            var offset = BinaryPrimitives.ReadUInt64BigEndian(offsets);
            if (offset >= end || (offset & WireLimits.PageOffsetMask) != 0)
            {
                error = $"page offset {offset:X} is not a page of RAM block {WireName.Quote(BlockName)} with {blockLength:X} bytes";
                return false;
            }

            offsets = offsets[sizeof(ulong)..];
        }

        error = null;
        return true;
    }

    /// <summary>A padded name field up to its first NUL; the last byte never belongs to the name.</summary>
    public static ReadOnlySpan<byte> TrimName(ReadOnlySpan<byte> field)
    {
        field = field[..^1];
        var end = field.IndexOf((byte)0);
        return end < 0 ? field : field[..end];
    }

    private static string? CheckPrefix(ReadOnlySpan<byte> header)
    {
        var magic = BinaryPrimitives.ReadUInt32BigEndian(header);
        var version = BinaryPrimitives.ReadUInt32BigEndian(header[VersionOffset..]);
        var flags = (MultifdFlags)BinaryPrimitives.ReadUInt32BigEndian(header[FlagsOffset..]);
        if (magic != MagicNumber)
        {
            return $"multifd packet magic {magic:X8}, expected {MagicNumber:X8}";
        }

        if (version != MultifdPacket.Version)
        {
            return $"multifd packet version {version} is not supported, only {MultifdPacket.Version}";
        }

        if ((flags & ~MultifdFlags.Known) != 0)
        {
            return $"multifd packet has unknown flags {(uint)flags:X}";
        }

        if ((flags & MultifdFlags.DeviceState) != 0)
        {
            return MultifdDeviceStatePacket.Refusal(header);
        }

        return null;
    }

    private string? CheckCounts()
    {
        uint allocated = Field(PagesAllocatedOffset), normal = Field(NormalPagesOffset), zero = Field(ZeroPagesOffset);
        if (allocated > PagesPerPacket)
        {
            return $"multifd packet has room for {allocated} pages, allowed are {PagesPerPacket}";
        }

        if (normal > allocated)
        {
            return $"multifd packet has {normal} pages, but room for {allocated}";
        }

        if (zero > allocated - normal)
        {
            return $"multifd packet has {normal} pages and {zero} zero pages, but room for {allocated}";
        }

        return null;
    }

    private string? CheckPayload(MultifdFlags method)
    {
        if (PageCount == 0)
        {
            return null;
        }

        if ((Flags & MultifdFlags.CompressionMask) != method)
        {
            return $"multifd packet is compressed by {Describe(Flags)}, expected is {Describe(method)}";
        }

        if (BlockName.IsEmpty)
        {
            return "multifd packet with pages names no RAM block";
        }

        var bytes = Field(PayloadBytesOffset);
        if (NormalPages == 0)
        {
            return bytes == 0 ? null : $"multifd packet of zero pages announces {bytes} bytes of payload";
        }

        if (method == MultifdFlags.None && bytes != NormalPages * WireLimits.PageSize)
        {
            return $"multifd packet of {NormalPages} pages announces {bytes} bytes of payload";
        }

        if (bytes is 0 or > WireLimits.MaxCompressedPacketBytes)
        {
            return $"multifd packet announces {bytes} bytes of payload, allowed are 1 to {WireLimits.MaxCompressedPacketBytes}";
        }

        return null;
    }

    /// <summary>Names a method as the options do; the bits of other methods, or of several, get their names on the wire.</summary>
    private static string Describe(MultifdFlags flags) => (flags & MultifdFlags.CompressionMask) switch
    {
        MultifdFlags.None => "none",
        MultifdFlags.Zlib => "zlib",
        MultifdFlags.Zstd => "zstd",
        var other => $"{other}, which is not supported",
    };

    private uint Field(int offset) => BinaryPrimitives.ReadUInt32BigEndian(_header[offset..]);
}
