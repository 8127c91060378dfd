using CsCheck;
using DataPlane.Images;
using DataPlane.Tests.Wire;
using Xunit;

namespace DataPlane.Tests.Images;

public sealed class MappedRamHeaderTests
{
    private const string Example = "00 00 00 01  00 00 00 00 00 00 10 00  00 00 00 00 00 00 00 8B  00 00 00 00 00 10 00 00";

    [Fact]
    public void Header_of_the_documentation_round_trips()
    {
        var example = Hex.Bytes(Example);
        Assert.True(MappedRamHeader.TryRead(example, out var header, out _));
        Assert.Equal(new MappedRamHeader(0x8B, 0x100000), header);
        var written = new byte[MappedRamHeader.Size];
        header.Write(written);
        Assert.Equal(example, written);
        CodecAssert.RefusesTruncated(example, Read);
        CodecAssert.SurvivesAnything([example], Read);
    }

    [Theory]
    [InlineData("00000002 0000000000001000 000000000000008B 0000000000100000", "version 2")]
    [InlineData("FFFFFFFF 0000000000001000 000000000000008B 0000000000100000", "version 4294967295")]
    [InlineData("00000001 0000000000002000 000000000000008B 0000000000100000", "pages of 8192 bytes")]
    [InlineData("00000001 0000000000000000 000000000000008B 0000000000100000", "pages of 0 bytes")]
    [InlineData("00000001 0000000000001000 000000000000008B 0000000000000200", "page boundary")]
    [InlineData("00000001 0000000000001000 000000000000008B 8000000000000000", "lie in no file")]
    [InlineData("00000001 0000000000001000 FFFFFFFFFFFFFFFF 0000000000100000", "lie in no file")]
    public void Each_field_is_checked(string hex, string because) => CodecAssert.Refuses(Hex.Bytes(hex), Read, because);

    [Fact]
    public void Version_0_is_read_like_1() =>
        Assert.True(Read(Hex.Bytes("00000000 0000000000001000 000000000000008B 0000000000100000"), out _));

    [Fact]
    public void Round_trip_of_any_header() =>
        Gen.Select(Gen.Long[0, long.MaxValue], Gen.Long[0, long.MaxValue >> 12]).Sample((bitmap, page) =>
        {
            var bytes = new byte[MappedRamHeader.Size];
            var header = new MappedRamHeader(bitmap, page << 12);
            header.Write(bytes);
            return MappedRamHeader.TryRead(bytes, out var back, out _) && back == header;
        });

    private static bool Read(ReadOnlySpan<byte> source, out string? error) => MappedRamHeader.TryRead(source, out _, out error);
}
