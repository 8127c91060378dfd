using System.Text.Json;
using DataPlane.Tool.Bench;
using Xunit;

namespace DataPlane.Tests.Tool;

public sealed class BenchTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task The_wire_limit_is_measured_against_a_process_of_its_own_and_every_byte_is_compared()
    {
        var run = await ToolRun.RunAsync(["bench", "--wire-only", "--ram", "16M", "--channels", "2", "--runs", "3", "--json", "-"], Token);
        Assert.True(run.ExitCode == 0, run.Error);
        var document = JsonDocument.Parse(run.Out).RootElement;
        Assert.Equal("ok", document.GetProperty("result").GetString());
        Assert.Equal(3, document.GetProperty("runs").GetArrayLength());
        Assert.Equal(6, document.GetProperty("wire_calibration").GetArrayLength());
        foreach (var entry in document.GetProperty("runs").EnumerateArray())
        {
            var wire = entry.GetProperty("wire_limit");
            Assert.Equal(16 << 20, wire.GetProperty("transferred_bytes").GetInt64());
            Assert.Equal((16 << 20) / wire.GetProperty("seconds").GetDouble(), wire.GetProperty("bytes_per_second").GetDouble(), 1.0);
            Assert.True(wire.GetProperty("source_cpu_seconds").GetDouble() > 0);
            Assert.True(wire.GetProperty("destination_cpu_seconds").GetDouble() > 0);
            Assert.Equal(document.GetProperty("wire_variant").GetString(), wire.GetProperty("variant").GetString());
        }

        Assert.True(document.GetProperty("summary").GetProperty("verified").GetBoolean());
        Assert.True(document.GetProperty("summary").GetProperty("wire_limit_bytes_per_second").GetProperty("median").GetDouble() > 0);
    }

    [Fact]
    public async Task A_destination_that_is_not_there_is_one_line_and_exit_1()
    {
        var run = await ToolRun.RunAsync(["bench", "--wire-only", "--ram", "1M", "--to", "127.0.0.1:1"], Token);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("no destination at 127.0.0.1:1", Assert.Single(run.ErrorLines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_guest_over_the_limit_of_the_destination_is_refused_by_name_of_the_option()
    {
        await using var small = await DestinationProcess.StartAsync(1 << 20, [], _ => { }, Token);
        var run = await ToolRun.RunAsync(
            ["bench", "--wire-only", "--ram", "2M", "--no-progress", "--to", (await small.Address).ToString()], Token);
        Assert.Equal(1, run.ExitCode);
        Assert.Contains("--max-ram", Assert.Single(run.ErrorLines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_stopped_serve_ends_with_0()
    {
        using var stop = new CancellationTokenSource();
        var serving = ToolRun.RunAsync(["serve", "--listen", "127.0.0.1:0"], stop.Token);
        await stop.CancelAsync();
        var run = await serving;
        Assert.Equal(0, run.ExitCode);
    }

    [Theory]
    [InlineData(new double[] { 3 }, 3, 3, 3)]
    [InlineData(new double[] { 3, 1 }, 2, 1, 3)]
    [InlineData(new double[] { 5, 1, 4 }, 4, 1, 5)]
    public void A_statistic_is_median_and_extremes(double[] samples, double median, double min, double max) =>
        Assert.Equal(new Statistic(median, min, max), Statistic.Of(samples));

    [Fact]
    public void The_summary_compares_pairs_and_counts_cpu_per_gib_transferred()
    {
        RunEntry run = new()
        {
            Migration = new MigrationSample
            {
                Seconds = 1,
                TransferredBytes = 2L << 30,
                SourceCpuSeconds = 3,
                DestinationCpuSeconds = 1,
                Rounds = 4,
                DowntimeSeconds = 0.1,
                NormalPages = 5,
                ZeroPages = 6,
            },
            WireLimit = new WireLimitEntry
            {
                Variant = WireVariant.Cursor,
                Seconds = 0.5,
                TransferredBytes = 1L << 30,
                BytesPerSecond = 2L << 30,
                SourceCpuSeconds = 1,
                DestinationCpuSeconds = 1,
            },
        };
        var summary = BenchSummaries.Of([run], verified: true)!;
        Assert.Equal(new Statistic(1, 1, 1), summary.Efficiency);
        Assert.Equal(new CpuSummary(1.5, 1), summary.SourceCpuSecondsPerGib);
        Assert.Equal(new CpuSummary(0.5, 1), summary.DestinationCpuSecondsPerGib);
        Assert.Equal(1, summary.CpuRatio);
        Assert.Equal(new Statistic(0.1, 0.1, 0.1), summary.DowntimeSeconds);
        Assert.Null(BenchSummaries.Of([], verified: false));
    }
}
