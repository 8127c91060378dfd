using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

/// <summary>What stands between a page record's head and its data.</summary>
public sealed class PageBodyTests
{
    [Fact]
    public void A_zero_page_has_the_fill_byte_zero()
    {
        byte[] bytes = [0xFF];
        ZeroPageFill.Write(bytes);
        Assert.Equal([0], bytes);
        CodecAssert.RefusesTruncated(bytes, ZeroPageFill.TryRead);
        CodecAssert.Refuses([0x01], ZeroPageFill.TryRead, "fill byte 01");
        CodecAssert.Refuses([0xFF], ZeroPageFill.TryRead, "fill byte FF");
    }

    [Fact]
    public void An_xbzrle_header_carries_encoding_and_length()
    {
        var bytes = new byte[XbzrleHeader.Size];
        XbzrleHeader.Write(bytes, 6);
        Assert.Equal(Hex.Bytes("01 00 06"), bytes);
        Assert.True(XbzrleHeader.TryRead(bytes, out var header, out _));
        Assert.Equal(6, header.Length);
        CodecAssert.RefusesTruncated(bytes, ReadXbzrle);
    }

    [Theory]
    [InlineData("01 10 00", null)]
    [InlineData("01 00 01", null)]
    [InlineData("01 10 01", "4097 bytes")]
    [InlineData("01 00 00", "0 bytes")]
    [InlineData("01 FF FF", "65535 bytes")]
    [InlineData("00 00 06", "encoding 0")]
    [InlineData("02 00 06", "encoding 2")]
    public void Encoding_and_length_of_xbzrle_are_checked(string hex, string? because) => Check(hex, because, ReadXbzrle);

    [Fact]
    public void A_compressed_page_carries_its_length()
    {
        var bytes = new byte[CompressedPageHeader.Size];
        CompressedPageHeader.Write(bytes, 4110);
        Assert.Equal(Hex.Bytes("00 00 10 0E"), bytes);
        Assert.True(CompressedPageHeader.TryRead(bytes, out var header, out _));
        Assert.Equal(4110, header.Length);
        CodecAssert.RefusesTruncated(bytes, ReadCompressed);
    }

    [Theory]
    [InlineData("00 00 00 01", null)]
    [InlineData("00 00 10 0E", null)]
    [InlineData("00 00 00 00", "0 bytes")]
    [InlineData("00 00 10 0F", "4111 bytes")]
    [InlineData("FF FF FF FF", "4294967295 bytes")]
    public void Length_of_a_compressed_page_is_checked(string hex, string? because) => Check(hex, because, ReadCompressed);

    [Fact]
    public void Lengths_out_of_range_are_never_written()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => XbzrleHeader.Write(new byte[8], 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => XbzrleHeader.Write(new byte[8], 4097));
        Assert.Throws<ArgumentOutOfRangeException>(() => CompressedPageHeader.Write(new byte[8], 0));
        Assert.Throws<ArgumentOutOfRangeException>(() => CompressedPageHeader.Write(new byte[8], 4111));
    }

    [Fact]
    public void Anything_may_arrive()
    {
        CodecAssert.SurvivesAnything([[0]], ZeroPageFill.TryRead);
        CodecAssert.SurvivesAnything([[1, 0, 6]], ReadXbzrle);
        CodecAssert.SurvivesAnything([[0, 0, 1, 0]], ReadCompressed);
    }

    private static void Check(string hex, string? because, FixedReader read)
    {
        if (because is not null)
        {
            CodecAssert.Refuses(Hex.Bytes(hex), read, because);
        }
        else
        {
            Assert.True(read(Hex.Bytes(hex), out _));
        }
    }

    private static bool ReadXbzrle(ReadOnlySpan<byte> source, out string? error) => XbzrleHeader.TryRead(source, out _, out error);

    private static bool ReadCompressed(ReadOnlySpan<byte> source, out string? error) =>
        CompressedPageHeader.TryRead(source, out _, out error);
}
