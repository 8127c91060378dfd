using DataPlane.Tool.CommandLine;
using DataPlane.Tool.Output;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class LineDisplayTests
{
    [Fact]
    public async Task One_line_per_interval_and_one_per_new_stage()
    {
        var time = new FakeTimeProvider();
        var error = new StringWriter();
        await using var display = new LineDisplay(error, time, TimeSpan.FromSeconds(1));
        display.Report(new ProgressSample { Stage = "a", DoneBytes = 1 });
        time.Advance(TimeSpan.FromMilliseconds(999));
        display.Report(new ProgressSample { Stage = "a", DoneBytes = 2 });
        time.Advance(TimeSpan.FromMilliseconds(1));
        display.Report(new ProgressSample { Stage = "a", DoneBytes = 3 });
        display.Report(new ProgressSample { Stage = "b", DoneBytes = 4 });
        Assert.Equal("a, 1 B\na, 3 B\nb, 4 B\n", error.ToString());
    }

    [Fact]
    public async Task A_bar_shows_the_newest_sample_lets_lines_through_and_is_gone_at_the_end()
    {
        var error = new StringWriter();
        var console = new ToolConsole { Out = TextWriter.Null, Error = error, ErrorIsTerminal = true, NoColor = true };
        var display = ProgressDisplays.Create(console, new OutputSettings());
        Assert.IsType<BarDisplay>(display);
        display.Say("before the bar");
        Assert.Equal("before the bar\n", error.ToString());
        display.Report(new ProgressSample { Stage = "[stage] of a bench", DoneBytes = 1, TotalBytes = 2 });
        display.Say("beside the bar");
        await display.DisposeAsync();
        display.Say("after the bar");
        Assert.Contains("[stage] of a bench", error.ToString(), StringComparison.Ordinal);
        Assert.Contains("beside the bar", error.ToString(), StringComparison.Ordinal);
        Assert.EndsWith("after the bar\n", error.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false, false, false, typeof(LineDisplay))]
    [InlineData(true, true, false, typeof(SilentDisplay))]
    [InlineData(true, false, true, typeof(LineDisplay))]
    public void A_bar_is_only_for_a_terminal_that_nothing_else_writes_to(bool terminal, bool quiet, bool verbose, Type expected)
    {
        var console = new ToolConsole { Out = TextWriter.Null, Error = TextWriter.Null, ErrorIsTerminal = terminal };
        Assert.IsType(expected, ProgressDisplays.Create(console, new OutputSettings { Quiet = quiet, Verbose = verbose }));
    }

    [Fact]
    public async Task What_is_awaited_is_said_once_and_not_at_every_interval()
    {
        var time = new FakeTimeProvider();
        var error = new StringWriter();
        await using var display = new LineDisplay(error, time, TimeSpan.FromSeconds(1));
        for (var i = 0; i < 5; i++)
        {
            display.Report(new ProgressSample { Stage = $"waiting for {(i < 3 ? 3 : 2)} of 4 multifd channels", IsWaiting = true });
            time.Advance(TimeSpan.FromSeconds(2));
        }

        Assert.Equal("waiting for 3 of 4 multifd channels\nwaiting for 2 of 4 multifd channels\n", error.ToString());
    }

    [Theory]
    [InlineData(120, "warm-up, migration, 46%, 42.0 MB/s, 4 s left, round 1, 119 MiB of 256 MiB", 40)]
    [InlineData(80, "warm-up, migration, 46%, 42.0 MB/s, 4 s left, round 1", 23)]
    [InlineData(60, "warm-up, migration, 46%, 42.0 MB/s, 4 s left", 12)]
    [InlineData(40, "warm-up, migration, 46%", 13)]
    [InlineData(20, "warm-up, m…", 5)]
    [InlineData(1, "…", 5)]
    public void A_bar_and_what_matters_most_stand_in_one_line(int columns, string text, int bar)
    {
        var sample = new ProgressSample
        {
            Stage = "warm-up, migration",
            Round = 1,
            DoneBytes = 119L << 20,
            TotalBytes = 256L << 20,
            BytesPerSecond = 42e6,
            Detail = "expected downtime 4825 ms of which there is no room to speak",
        };
        var line = BarLine.Fit(sample, columns);
        Assert.Equal(text, line.Text);
        if (columns > 20)
        {
            Assert.InRange(line.Text.Length + bar + 4, 0, columns);
        }

        Assert.Equal(bar, line.BarWidth);
    }

    [Fact]
    public void A_line_says_what_is_known_and_nothing_else()
    {
        var all = new ProgressSample
        {
            Stage = "run 1",
            Round = 2,
            DoneBytes = 512 << 20,
            TotalBytes = 1 << 30,
            BytesPerSecond = 4.2e9,
            Detail = "about done",
        };
        Assert.Equal("run 1, round 2, 512 MiB of 1.00 GiB (50%), 4.20 GB/s, about 1 s left, about done", LineDisplay.Describe(all));
        Assert.Equal("run 1", LineDisplay.Describe(new ProgressSample { Stage = "run 1" }));
    }

    [Theory]
    [InlineData(0, "0.0 MB/s")]
    [InlineData(5.0e6, "5.0 MB/s")]
    [InlineData(999.94e6, "999.9 MB/s")]
    [InlineData(999.96e6, "1.00 GB/s")]
    [InlineData(4.2e9, "4.20 GB/s")]
    public void Rates_under_a_gigabyte_are_in_megabytes(double rate, string text) => Assert.Equal(text, Human.Rate(rate));

    [Theory]
    [InlineData(0.2, "1 s")]
    [InlineData(99.5, "100 s")]
    [InlineData(101, "2 min")]
    [InlineData(7200, "2 h")]
    [InlineData(1e9, null)]
    public void Time_left_is_in_whole_units(double seconds, string? text) => Assert.Equal(text, Human.About(seconds));

    [Theory]
    [InlineData(0, "0 B")]
    [InlineData(1023, "1023 B")]
    [InlineData(1024, "1.00 KiB")]
    [InlineData(1536, "1.50 KiB")]
    [InlineData(20 * 1024 * 1024, "20.0 MiB")]
    [InlineData(1L << 50, "1.00 PiB")]
    public void Sizes_are_written_in_binary_units(long bytes, string text) => Assert.Equal(text, Human.Bytes(bytes));

    [Theory]
    [InlineData(0.0000123, "12 us")]
    [InlineData(0.0123, "12.3 ms")]
    [InlineData(1.5, "1.50 s")]
    public void Times_are_written_in_the_unit_that_fits(double seconds, string text) => Assert.Equal(text, Human.Seconds(seconds));
}
