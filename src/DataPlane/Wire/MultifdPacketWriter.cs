using System.Buffers.Binary;
using static DataPlane.Wire.MultifdPacket;

namespace DataPlane.Wire;

/// <summary>
/// Fills a multifd header in one pass over the pages, before it is known how many of them are zero: zero pages collect at the far end of
/// the offset table and move after the normal ones in <see cref="Finish"/>. Unused bytes are 0, as QEMU 9.2 and later send them.
/// </summary>
internal ref struct MultifdPacketWriter
{
    private readonly Span<byte> _header;
    private int _zeroPages;

    private MultifdPacketWriter(Span<byte> header) => _header = header;

    public int NormalPages { get; private set; }

    public readonly int ZeroPages => _zeroPages;

    public readonly int FreePages => PagesPerPacket - NormalPages - _zeroPages;

    /// <summary>Begins a packet with pages of one block.</summary>
    /// <param name="header">At least <see cref="HeaderSize"/> bytes; the first of them are overwritten.</param>
    /// <param name="blockName">Name of the block, 1 to 255 bytes.</param>
    /// <param name="packetNumber">Number of the packet, from one counter for all channels.</param>
    /// <param name="method">Compression bits; <see cref="MultifdFlags.None"/> for plain pages.</param>
    public static MultifdPacketWriter Begin(
        Span<byte> header, ReadOnlySpan<byte> blockName, ulong packetNumber, MultifdFlags method = MultifdFlags.None)
    {
        if (blockName.Length is 0 or > WireLimits.MaxNameLength)
        {
            throw new ArgumentException($"A block name has 1 to {WireLimits.MaxNameLength} bytes.", nameof(blockName));
        }

        header = header[..HeaderSize];
        WritePrefix(header, packetNumber, method);
        blockName.CopyTo(header[BlockNameOffset..]);
        return new MultifdPacketWriter(header);
    }

    /// <summary>Writes a packet without pages that ends a round on its channel.</summary>
    public static void WriteSync(Span<byte> header, ulong packetNumber) =>
        WritePrefix(header[..HeaderSize], packetNumber, MultifdFlags.Sync);

    public void AddNormal(long offset)
    {
        ThrowIfFull();
        WriteOffset(NormalPages++, offset);
    }

    public void AddZero(long offset)
    {
        ThrowIfFull();
        WriteOffset(PagesPerPacket - ++_zeroPages, offset);
    }

    /// <summary>Completes the header; <paramref name="payloadBytes"/> follow it.</summary>
    public readonly int Finish(int payloadBytes)
    {
        if (_zeroPages > 0 && FreePages > 0)
        {
            var table = _header[OffsetsOffset..];
            var collected = table[((PagesPerPacket - _zeroPages) * sizeof(ulong))..];
            collected.CopyTo(table[(NormalPages * sizeof(ulong))..]);
            table[((NormalPages + _zeroPages) * sizeof(ulong))..].Clear();
        }

        BinaryPrimitives.WriteUInt32BigEndian(_header[PagesAllocatedOffset..], PagesPerPacket);
        BinaryPrimitives.WriteUInt32BigEndian(_header[NormalPagesOffset..], (uint)NormalPages);
        BinaryPrimitives.WriteUInt32BigEndian(_header[PayloadBytesOffset..], (uint)payloadBytes);
        BinaryPrimitives.WriteUInt32BigEndian(_header[ZeroPagesOffset..], (uint)_zeroPages);
        return payloadBytes;
    }

    private static void WritePrefix(Span<byte> header, ulong packetNumber, MultifdFlags flags)
    {
        header.Clear();
        BinaryPrimitives.WriteUInt32BigEndian(header, MagicNumber);
        BinaryPrimitives.WriteUInt32BigEndian(header[VersionOffset..], MultifdPacket.Version);
        BinaryPrimitives.WriteUInt32BigEndian(header[FlagsOffset..], (uint)flags);
        BinaryPrimitives.WriteUInt64BigEndian(header[PacketNumberOffset..], packetNumber);
    }

    private readonly void ThrowIfFull()
    {
        if (FreePages == 0)
        {
            throw new InvalidOperationException("The packet is full.");
        }
    }

    private readonly void WriteOffset(int index, long offset) =>
        BinaryPrimitives.WriteUInt64BigEndian(_header[(OffsetsOffset + index * sizeof(ulong))..], (ulong)offset);
}
