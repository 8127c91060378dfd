using System.Buffers.Binary;
using CsCheck;
using DataPlane.Tests.Support;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

[Collection(CountsOfTheProcess.Name)]
public sealed class MultifdPacketReaderTests
{
    /// <summary>Two pages of pc.ram at 0x100000 and 0x101000, one zero page at 0x5000.</summary>
    internal static readonly byte[] Data =
    [
        .. Hex.Bytes("11223344 00000001 00000000 00000080 00000002 00002000 0000000000000009 00000001 00000000"), .. new byte[24],
        .. Hex.Bytes("70632e72616d"), .. new byte[250],
        .. Hex.Bytes("0000000000100000 0000000000101000 0000000000005000"), .. new byte[1000],
    ];

    internal static readonly byte[] Sync =
        [.. Hex.Bytes("11223344 00000001 00000001 00000000 00000000 00000000 0000000000000005"), .. new byte[1312]];

    private static readonly byte[] s_deviceState =
        [.. Hex.Bytes("11223344 00000001 00000040 \"0000:00:02.0/vfio\""), .. new byte[256 - 17], .. Hex.Bytes("00000000 00001000")];

    [Fact]
    public void Data_packet_of_the_documentation_is_read()
    {
        Assert.Equal(1344, MultifdPacket.HeaderSize);
        Assert.True(MultifdPacketReader.TryRead(Data, MultifdFlags.None, out var packet, out var error), error);
        Assert.False(packet.IsSync);
        Assert.Equal((2, 1, 3), (packet.NormalPages, packet.ZeroPages, packet.PageCount));
        Assert.Equal(8192, packet.PayloadBytes);
        Assert.Equal(9u, packet.PacketNumber);
        Assert.True(packet.BlockName.SequenceEqual("pc.ram"u8));
        Assert.Equal((0x100000, 0x101000, 0x5000), (packet.Offset(0), packet.Offset(1), packet.Offset(2)));
        Assert.True(packet.TryCheckOffsets(0x102000, out _));
    }

    [Fact]
    public void Offsets_behind_the_pages_are_not_readable()
    {
        Assert.True(MultifdPacketReader.TryRead(Data, MultifdFlags.None, out var packet, out _));
        var refused = false;
        try
        {
            packet.Offset(3);
        }
        catch (ArgumentOutOfRangeException)
        {
            refused = true;
        }

        Assert.True(refused);
    }

    [Fact]
    public void Sync_packet_of_the_documentation_is_read()
    {
        Assert.True(MultifdPacketReader.TryRead(Sync, MultifdFlags.Zstd, out var packet, out var error), error);
        Assert.True(packet.IsSync);
        Assert.Equal((0, 0), (packet.PageCount, packet.PayloadBytes));
        Assert.Equal(5u, packet.PacketNumber);
    }

    [Fact]
    public void A_packet_without_pages_may_carry_stale_fields()
    {
        // QEMU 7.2: size, name and offsets of an earlier packet; also compression bits mean nothing here.
        byte[] stale = [.. Data];
        SetField(stale, MultifdPacket.NormalPagesOffset, 0);
        SetField(stale, MultifdPacket.ZeroPagesOffset, 0);
        SetField(stale, MultifdPacket.PayloadBytesOffset, 0xFFFFFFFF);
        SetField(stale, MultifdPacket.FlagsOffset, 1 | 4);
        Assert.True(MultifdPacketReader.TryRead(stale, MultifdFlags.None, out var packet, out var error), error);
        Assert.Equal(0, packet.PayloadBytes);
        Assert.True(packet.TryCheckOffsets(0, out _));
    }

    [Fact]
    public void A_data_packet_may_carry_sync()
    {
        byte[] bytes = [.. Data];
        SetField(bytes, MultifdPacket.FlagsOffset, 1);
        Assert.True(MultifdPacketReader.TryRead(bytes, MultifdFlags.None, out var packet, out _));
        Assert.True(packet.IsSync);
        Assert.Equal(8192, packet.PayloadBytes);
    }

    [Fact]
    public void Truncated_anywhere_is_refused() => CodecAssert.RefusesTruncated(Data, Read);

    [Theory]
    [InlineData(MultifdPacket.PagesAllocatedOffset, 128u, null)]
    [InlineData(MultifdPacket.PagesAllocatedOffset, 129u, "room for 129 pages, allowed are 128")]
    [InlineData(MultifdPacket.PagesAllocatedOffset, 3u, null)]
    [InlineData(MultifdPacket.PagesAllocatedOffset, 2u, "2 pages and 1 zero pages, but room for 2")]
    [InlineData(MultifdPacket.PagesAllocatedOffset, 1u, "2 pages, but room for 1")]
    [InlineData(MultifdPacket.PagesAllocatedOffset, 0u, "2 pages, but room for 0")]
    [InlineData(MultifdPacket.NormalPagesOffset, 129u, "129 pages, but room for 128")]
    [InlineData(MultifdPacket.NormalPagesOffset, 0xFFFFFFFFu, "but room for 128")]
    [InlineData(MultifdPacket.ZeroPagesOffset, 126u, null)]
    [InlineData(MultifdPacket.ZeroPagesOffset, 127u, "2 pages and 127 zero pages")]
    [InlineData(MultifdPacket.ZeroPagesOffset, 0xFFFFFFFEu, "zero pages, but room")]
    [InlineData(MultifdPacket.PayloadBytesOffset, 8191u, "8191 bytes")]
    [InlineData(MultifdPacket.PayloadBytesOffset, 8193u, "8193 bytes")]
    [InlineData(MultifdPacket.PayloadBytesOffset, 0u, "0 bytes")]
    [InlineData(0, 0x11223345u, "magic 11223345")]
    [InlineData(MultifdPacket.VersionOffset, 2u, "version 2")]
    [InlineData(MultifdPacket.FlagsOffset, 0x80u, "unknown flags 80")]
    [InlineData(MultifdPacket.FlagsOffset, 0x80000000u, "unknown flags 80000000")]
    [InlineData(MultifdPacket.FlagsOffset, 2u, "compressed by zlib, expected is none")]
    [InlineData(MultifdPacket.FlagsOffset, 6u, "compressed by Zlib, Zstd, which is not supported")]
    [InlineData(MultifdPacket.BlockNameOffset, 0u, "names no RAM block")]
    [InlineData(36, 0xFFFFFFFFu, null)]
    public void Each_field_is_checked(int field, uint value, string? because)
    {
        byte[] bytes = [.. Data];
        SetField(bytes, field, value);
        if (because is null)
        {
            Assert.True(Read(bytes, out _));
        }
        else
        {
            CodecAssert.Refuses(bytes, Read, because);
        }
    }

    [Fact]
    public void Only_zero_pages_have_no_payload()
    {
        byte[] bytes = [.. Data];
        SetField(bytes, MultifdPacket.NormalPagesOffset, 0);
        CodecAssert.Refuses(bytes, Read, "zero pages announces 8192 bytes");
        SetField(bytes, MultifdPacket.PayloadBytesOffset, 0);
        Assert.True(MultifdPacketReader.TryRead(bytes, MultifdFlags.None, out var packet, out _));
        Assert.Equal((0, 1, 0), (packet.NormalPages, packet.ZeroPages, packet.PayloadBytes));
    }

    [Theory]
    [InlineData(0u, false)]
    [InlineData(1u, true)]
    [InlineData(1048576u, true)]
    [InlineData(1048577u, false)]
    public void A_compressed_payload_has_1_byte_to_1_MiB(uint payload, bool legal)
    {
        byte[] bytes = [.. Data];
        SetField(bytes, MultifdPacket.FlagsOffset, 4);
        SetField(bytes, MultifdPacket.PayloadBytesOffset, payload);
        Assert.Equal(legal, MultifdPacketReader.TryRead(bytes, MultifdFlags.Zstd, out _, out var error));
        Assert.Equal(legal, error is null);
        Assert.False(MultifdPacketReader.TryRead(bytes, MultifdFlags.Zlib, out _, out _));
    }

    [Fact]
    public void Device_state_is_refused_by_name_however_much_of_it_is_here()
    {
        CodecAssert.Refuses(s_deviceState, Read, "device state of '0000:00:02.0/vfio' on a multifd channel is not supported");
        for (var length = MultifdPacket.PrefixSize; length <= s_deviceState.Length; length++)
        {
            CodecAssert.Refuses(s_deviceState[..length], Read, "device state");
        }

        byte[] unterminated = [.. s_deviceState];
        unterminated.AsSpan(12, 256).Fill((byte)'x');
        CodecAssert.Refuses(unterminated, Read, "device state of '" + new string('x', 255) + "'");
    }

    [Theory]
    [InlineData(0x102000, true)]
    [InlineData(0x101FFF, false)]
    [InlineData(0x101000, false)]
    [InlineData(4096, false)]
    [InlineData(4095, false)]
    [InlineData(0, false)]
    [InlineData(-1, false)]
    [InlineData(long.MaxValue, true)]
    public void Offsets_must_lie_in_the_block(long blockLength, bool legal)
    {
        Assert.True(MultifdPacketReader.TryRead(Data, MultifdFlags.None, out var packet, out _));
        Assert.Equal(legal, packet.TryCheckOffsets(blockLength, out var error));
        Assert.Equal(legal, error is null);
    }

    [Theory]
    [InlineData(0, 0x100001)]
    [InlineData(1, 0x101FFF)]
    [InlineData(2, 0x5800)]
    [InlineData(2, -4096)]
    [InlineData(2, 0x102000)]
    [InlineData(0, long.MinValue)]
    public void Each_offset_is_checked_normal_or_zero(int index, long offset)
    {
        byte[] bytes = [.. Data];
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(MultifdPacket.OffsetsOffset + 8 * index), offset);
        Assert.True(MultifdPacketReader.TryRead(bytes, MultifdFlags.None, out var packet, out _));
        Assert.False(packet.TryCheckOffsets(0x102000, out var error));
        Assert.Contains($"page offset {offset:X} is not a page of RAM block 'pc.ram' with 102000 bytes", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Stale_offsets_behind_the_pages_are_not_checked()
    {
        byte[] bytes = [.. Data];
        bytes.AsSpan(MultifdPacket.OffsetsOffset + 3 * 8).Fill(0xFF);
        Assert.True(MultifdPacketReader.TryRead(bytes, MultifdFlags.None, out var packet, out _));
        Assert.True(packet.TryCheckOffsets(0x102000, out _));
    }

    [Fact]
    public void Anything_may_arrive_and_what_is_accepted_stays_in_bounds() =>
        CodecAssert.Damaged([Data, Sync, s_deviceState]).Sample(bytes =>
        {
            var read = MultifdPacketReader.TryRead(bytes, MultifdFlags.None, out var packet, out var error);
            if (read != (error is null))
            {
                return false;
            }

            if (!read)
            {
                return true;
            }

            var inBlock = packet.TryCheckOffsets(0x102000, out _);
            for (var i = 0; i < packet.PageCount && inBlock; i++)
            {
                inBlock = packet.Offset(i) is >= 0 and <= 0x101000;
            }

            return packet.PageCount is >= 0 and <= 128 && packet.PayloadBytes == packet.NormalPages * 4096 && packet.BlockName.Length < 256
                && (inBlock || !packet.TryCheckOffsets(0x102000, out _));
        });

    [Fact]
    public void Reading_allocates_nothing()
    {
        var before = GC.GetAllocatedBytesForCurrentThread();
        long sum = 0;
        for (var i = 0; i < 1000; i++)
        {
            MultifdPacketReader.TryRead(Data, MultifdFlags.None, out var packet, out _);
            packet.TryCheckOffsets(0x102000, out _);
            sum += packet.PayloadBytes + packet.BlockName.Length + packet.Offset(1);
        }

        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(1000 * (8192 + 6 + 0x101000), sum);
    }

    private static bool Read(ReadOnlySpan<byte> source, out string? error) =>
        MultifdPacketReader.TryRead(source, MultifdFlags.None, out _, out error);

    private static void SetField(byte[] header, int offset, uint value) =>
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(offset), value);
}
