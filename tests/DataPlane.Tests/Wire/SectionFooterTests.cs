using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class SectionFooterTests
{
    private static readonly byte[] s_footer = Hex.Bytes("7E 00 00 00 27");

    [Fact]
    public void Round_trip()
    {
        var bytes = new byte[SectionFooter.Size];
        SectionFooter.Write(bytes, 0x27);
        Assert.Equal(s_footer, bytes);
        Assert.True(SectionFooter.TryRead(bytes, 0x27, out _));
    }

    [Fact]
    public void Truncated_anywhere_is_refused() => CodecAssert.RefusesTruncated(s_footer, Read);

    [Theory]
    [InlineData("7F 00 00 00 27", "byte 7F instead of 7E")]
    [InlineData("7E 00 00 00 28", "footer of section 39 names section 40")]
    public void Another_mark_or_id_is_refused(string hex, string because) => CodecAssert.Refuses(Hex.Bytes(hex), Read, because);

    [Fact]
    public void Anything_may_arrive() => CodecAssert.SurvivesAnything([s_footer], Read);

    private static bool Read(ReadOnlySpan<byte> source, out string? error) => SectionFooter.TryRead(source, 0x27, out error);
}
