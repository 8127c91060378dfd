using CsCheck;
using DataPlane.Tool.CommandLine;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class ByteSizeTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("4096", 4096)]
    [InlineData("512K", 512 * 1024)]
    [InlineData("512k", 512 * 1024)]
    [InlineData("1G", 1L << 30)]
    [InlineData("4GiB", 4L << 30)]
    [InlineData("1.5M", 3 << 19)]
    [InlineData("7E", 7L << 60)]
    [InlineData("9223372036854775807", long.MaxValue)]
    [InlineData("12B", 12)]
    public void A_size_is_read_in_binary_units(string text, long bytes)
    {
        Assert.True(ByteSize.TryParse(text, out var size, out var error), error);
        Assert.Equal(bytes, size.Bytes);
    }

    [Theory]
    [InlineData("")]
    [InlineData("G")]
    [InlineData("-1")]
    [InlineData("+1")]
    [InlineData("1GB")]
    [InlineData("1KB")]
    [InlineData("1 G")]
    [InlineData("1iB")]
    [InlineData("1..5G")]
    [InlineData(".5G")]
    [InlineData("5.G")]
    [InlineData("1,5G")]
    [InlineData("1e9")]
    [InlineData("0x10")]
    [InlineData("8E")]
    [InlineData("9223372036854775808")]
    [InlineData("99999999999999999999999999999999999999999999999999")]
    public void What_is_not_a_size_is_refused_with_the_text_in_the_message(string text)
    {
        Assert.False(ByteSize.TryParse(text, out _, out var error));
        Assert.Contains($"'{text}'", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_size_survives_being_written_and_read() =>
        Gen.Long[0, long.MaxValue].Sample(bytes =>
            ByteSize.TryParse(new ByteSize(bytes).ToString(), out var read, out _) && read.Bytes == bytes);

    [Fact]
    public void Every_multiple_of_a_unit_is_written_with_the_unit() =>
        Gen.Select(Gen.Long[1, 1023], Gen.Int[1, 5]).Sample((number, power) =>
            new ByteSize(number << (10 * power)).ToString() == $"{number}{"KMGTP"[power - 1]}");

    [Fact]
    public void No_text_makes_the_parser_throw() =>
        Gen.String.Sample(text => ByteSize.TryParse(text, out _, out var error) == (error is null));
}
