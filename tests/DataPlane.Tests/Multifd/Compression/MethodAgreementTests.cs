using System.Buffers.Binary;
using DataPlane.Multifd.Compression;
using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Multifd.Compression;

public sealed class MethodAgreementTests
{
    [Fact]
    public void The_first_packet_with_pages_decides_for_all_channels()
    {
        var methods = new MethodAgreement(null);
        Assert.Equal(MultifdFlags.None, methods.Expected(Header(MultifdFlags.Sync, pages: 0)));
        Assert.Equal(MultifdFlags.Zstd, methods.Expected(Header(MultifdFlags.Zstd, pages: 3)));
        Assert.Equal(MultifdFlags.Zstd, methods.Expected(Header(MultifdFlags.Zlib, pages: 3)));
        Assert.Equal(MultifdFlags.Zstd, methods.Expected(Header(MultifdFlags.None, pages: 3)));
    }

    [Fact]
    public void A_packet_of_zero_pages_decides_too()
    {
        var methods = new MethodAgreement(null);
        var header = Header(MultifdFlags.Zlib, pages: 0);
        BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(MultifdPacket.ZeroPagesOffset), 1);
        Assert.Equal(MultifdFlags.Zlib, methods.Expected(header));
        Assert.Equal(MultifdFlags.Zlib, methods.Expected(Header(MultifdFlags.None, pages: 1)));
    }

    [Theory]
    [InlineData(CompressionMethod.None, CompressionMethod.Zlib)]
    [InlineData(CompressionMethod.Zlib, CompressionMethod.Zstd)]
    [InlineData(CompressionMethod.Zstd, CompressionMethod.None)]
    public void What_is_demanded_is_expected_whatever_comes(CompressionMethod demanded, CompressionMethod seen) =>
        Assert.Equal(CompressionSettings.FlagsOf(demanded),
            new MethodAgreement(demanded).Expected(Header(CompressionSettings.FlagsOf(seen), pages: 1)));

    [Theory]
    [InlineData((uint)MultifdFlags.Qpl)]
    [InlineData((uint)MultifdFlags.Qatzip)]
    [InlineData((uint)(MultifdFlags.Zlib | MultifdFlags.Zstd))]
    public void Other_methods_decide_nothing_and_are_refused(uint seen)
    {
        var methods = new MethodAgreement(null);
        var header = Header((MultifdFlags)seen, pages: 1);
        Assert.False(MultifdPacketReader.TryRead(header, methods.Expected(header), out _, out var error));
        Assert.Contains("not supported", error, StringComparison.Ordinal);
        Assert.Equal(MultifdFlags.Zlib, methods.Expected(Header(MultifdFlags.Zlib, pages: 1)));
    }

    private static byte[] Header(MultifdFlags flags, int pages)
    {
        var header = new byte[MultifdPacket.HeaderSize];
        var packet = MultifdPacketWriter.Begin(header, "pc.ram"u8, 0, flags);
        for (var page = 0; page < pages; page++)
        {
            packet.AddNormal(page * 4096);
        }

        packet.Finish(packet.NormalPages * 4096);
        return header;
    }
}
