using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class StreamHeaderTests
{
    private static readonly byte[] s_header = Hex.Bytes("51 45 56 4D 00 00 00 03");

    [Fact]
    public void Bytes_are_those_of_QEMU()
    {
        var bytes = new byte[StreamHeader.Size];
        StreamHeader.Write(bytes);
        Assert.Equal(s_header, bytes);
    }

    [Fact]
    public void Truncated_anywhere_is_refused() => CodecAssert.RefusesTruncated(s_header, StreamHeader.TryRead);

    [Theory]
    [InlineData("51 45 56 4E 00 00 00 03", "magic")]
    [InlineData("11 22 33 44 00 00 00 01", "magic")]
    [InlineData("51 45 56 4D 00 00 00 02", "version 2")]
    [InlineData("51 45 56 4D 00 00 00 04", "version 4")]
    public void Other_magic_or_version_is_refused(string hex, string because) =>
        CodecAssert.Refuses(Hex.Bytes(hex), StreamHeader.TryRead, because);

    [Fact]
    public void Anything_may_arrive() => CodecAssert.SurvivesAnything([s_header], StreamHeader.TryRead);
}
