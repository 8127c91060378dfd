using CsCheck;
using DataPlane.Tool.CommandLine;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class DurationTests
{
    [Theory]
    [InlineData("300ms", 300)]
    [InlineData("2s", 2000)]
    [InlineData("2", 2000)]
    [InlineData("0.5", 500)]
    [InlineData("5m", 300_000)]
    [InlineData("1h", 3_600_000)]
    [InlineData("0", 0)]
    [InlineData("1500us", 1.5)]
    public void A_time_has_a_unit_or_is_seconds(string text, double milliseconds)
    {
        Assert.True(Duration.TryParse(text, out var time, out var error), error);
        Assert.Equal(milliseconds, time.Value.TotalMilliseconds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("soon")]
    [InlineData("-1s")]
    [InlineData("1d")]
    [InlineData("00:01")]
    [InlineData("9999999999999h")]
    public void What_is_not_a_time_is_refused(string text)
    {
        Assert.False(Duration.TryParse(text, out _, out var error));
        Assert.Contains("time", error, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_time_survives_being_written_and_read() =>
        Gen.Long[0, TimeSpan.MaxValue.Ticks].Sample(ticks =>
            Duration.TryParse(new Duration(TimeSpan.FromTicks(ticks)).ToString(), out var read, out _) && read.Value.Ticks == ticks);
}
