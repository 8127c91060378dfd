using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class VmDescriptionHeaderTests
{
    [Fact]
    public void The_least_description_has_two_bytes()
    {
        var bytes = new byte[VmDescriptionHeader.Size];
        VmDescriptionHeader.Write(bytes, 2);
        Assert.Equal(Hex.Bytes("06 00 00 00 02"), bytes);
        Assert.True(VmDescriptionHeader.TryRead(bytes, out var header, out _));
        Assert.Equal(2, header.Length);
        CodecAssert.RefusesTruncated(bytes, Read);
        CodecAssert.SurvivesAnything([bytes], Read);
    }

    [Theory]
    [InlineData("06 00 00 00 01", null)]
    [InlineData("06 04 00 00 00", null)]
    [InlineData("06 04 00 00 01", "67108865 bytes")]
    [InlineData("06 FF FF FF FF", "4294967295 bytes")]
    [InlineData("06 00 00 00 00", "0 bytes")]
    [InlineData("07 00 00 00 02", "byte 07")]
    public void Type_and_length_are_checked(string hex, string? because)
    {
        if (because is null)
        {
            Assert.True(Read(Hex.Bytes(hex), out _));
        }
        else
        {
            CodecAssert.Refuses(Hex.Bytes(hex), Read, because);
        }
    }

    private static bool Read(ReadOnlySpan<byte> source, out string? error) => VmDescriptionHeader.TryRead(source, out _, out error);
}
