using CsCheck;
using DataPlane.Tool.CommandLine;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class ByteRateTests
{
    [Theory]
    [InlineData("0", 0)]
    [InlineData("500M", 500L << 20)]
    [InlineData("2GiB/s", 2L << 30)]
    [InlineData("10Gbit", 1_250_000_000)]
    [InlineData("10gbit/s", 1_250_000_000)]
    [InlineData("100Mbit", 12_500_000)]
    [InlineData("8kbit", 1000)]
    [InlineData("8bit", 1)]
    [InlineData("2.5Gbit", 312_500_000)]
    public void A_rate_is_bytes_per_second_or_decimal_bits(string text, long bytesPerSecond)
    {
        Assert.True(ByteRate.TryParse(text, out var rate, out var error), error);
        Assert.Equal(bytesPerSecond, rate.BytesPerSecond);
    }

    [Theory]
    [InlineData("")]
    [InlineData("fast")]
    [InlineData("10Gb")]
    [InlineData("10Gbps")]
    [InlineData("-1M")]
    [InlineData("1M/m")]
    [InlineData("99999999999Tbit")]
    [InlineData("9E")]
    public void What_is_not_a_rate_is_refused(string text)
    {
        Assert.False(ByteRate.TryParse(text, out _, out var error));
        Assert.Contains("rate", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_rate_survives_being_written_and_read() =>
        Gen.Long[0, long.MaxValue].Sample(rate =>
            ByteRate.TryParse(new ByteRate(rate).ToString(), out var read, out _) && read.BytesPerSecond == rate);

    [Fact]
    public void Bits_are_eighths_of_bytes() =>
        Gen.Long[0, 1_000_000].Sample(megabits =>
            ByteRate.TryParse($"{megabits}Mbit", out var rate, out _) && rate.BytesPerSecond == megabits * 125_000);
}
