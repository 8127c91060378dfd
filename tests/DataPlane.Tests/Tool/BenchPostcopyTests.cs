using System.Net;
using System.Text.Json;
using CsCheck;
using DataPlane.Tests.Postcopy;
using DataPlane.TestSupport;
using DataPlane.Tool.Bench;
using DataPlane.Tool.Serve;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace DataPlane.Tests.Tool;

/// <summary><c>dataplane bench --postcopy</c>: a guest that runs at the destination and knows every byte that it must find.</summary>
public sealed class BenchPostcopyTests
{
    private const int RamBytes = 4 << 20;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(false, "--channels", "0", "--dirty-rate", "0", "--zero-percent", "25")]
    [InlineData(false, "--preempt", "--channels", "2", "--dirty-window", "8M")]
    [InlineData(true, "--preempt", "--channels", "0", "--touch-threads", "3", "--touch-rate", "200M")]
    public async Task The_guest_runs_at_the_destination_and_finds_all_of_its_memory(bool secured, params string[] options)
    {
        LiveGuest.RequireUserfaultfd();
        using var authority = new TestAuthority();
        string[] tls = secured ? ["--tls-dir", authority.Folder] : [];
        // Slow enough that the guest meets missing pages.
        var run = await ToolRun.RunAsync(
            ["bench", "--postcopy", "--ram", "32M", "--max-bandwidth", "64M", "--max-downtime", "2s", "--runs", "2", "--json", "-",
                .. options, .. tls], Token);
        Assert.True(run.ExitCode == 0, run.Error);
        var document = JsonElement.Parse(run.Out);
        Assert.Equal(2, document.GetProperty("runs").GetArrayLength());
        foreach (var entry in document.GetProperty("runs").EnumerateArray())
        {
            Check(entry);
        }

        var summary = document.GetProperty("summary");
        Assert.True(summary.GetProperty("verified").GetBoolean());
        foreach (var figure in (string[])
            ["seconds", "time_ratio", "postcopy_seconds", "downtime_seconds", "start_delay_seconds", "fault_p50_seconds",
                "fault_p99_seconds", "fault_p999_seconds"])
        {
            Assert.True(summary.GetProperty("postcopy").GetProperty(figure).GetProperty("median").GetDouble() > 0, figure);
        }

        Assert.True(summary.GetProperty("postcopy").GetProperty("checked_pages").GetInt64() > 0);
    }

    [Fact]
    public async Task People_get_a_line_for_each_run_and_the_sum()
    {
        LiveGuest.RequireUserfaultfd();
        var run = await ToolRun.RunAsync(["bench", "--postcopy", "--ram", "8M", "--max-bandwidth", "64M", "--runs", "1"], Token);
        Assert.True(run.ExitCode == 0, run.Error);
        foreach (var part in (string[])["to precopy", "times precopy; downtime", "faults       median p50", "checked      "])
        {
            Assert.Contains(part, run.Out, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(7, 100)] // before the switch it is as wrong as after it: what came is not what the page's number says
    [InlineData(1023, 4095)]
    public async Task A_wrong_byte_is_found(long page, int offset)
    {
        var result = await MoveAsync(guest => guest.Block.Span((page * TargetPage.Size) + offset, 1)[0] ^= 1);
        Assert.Contains($"page {page} of the guest at the destination is wrong", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_right_bytes_are_right()
    {
        var result = await MoveAsync(static _ => { });
        Assert.Null(result.Error);
        Assert.True(result.Postcopy!.Touches.CheckedPages > 0);
    }

    [Fact]
    public async Task A_lost_link_ends_the_leg_and_lets_go_of_whoever_waits_for_a_page()
    {
        var result = await MoveAsync(static _ => { }, new Fault { CutAt = RamBytes / 2 });
        Assert.NotNull(result.Error);
        Assert.DoesNotContain("is wrong", result.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void The_content_of_a_page_follows_from_its_number_and_the_count_of_writes() =>
        Gen.Select(Gen.Int[1, 300], Gen.Int[0, 2000]).Sample((window, writes) =>
        {
            var order = new PageOrder(window);
            var generations = new long[window];
            for (var i = 0; i < writes; i++)
            {
                var page = order.Next();
                Assert.Equal(i % window, order.PositionOf(page));
                generations[page]++;
            }

            var content = new PageContent(window + 1, window, 0, 1, writes);
            Assert.Equal(generations, Enumerable.Range(0, window).Select(page => content.Generation(page)));
            Assert.Equal(0, content.Generation(window));
        }, iter: 200);

    [Fact]
    public void A_guest_that_has_written_holds_what_is_said_of_it()
    {
        using var guest = new Workload(
            new WorkloadOptions { RamBytes = RamBytes, ZeroPercent = 30, DirtyBytesPerSecond = 1L << 40, DirtyWindowBytes = 1 << 20 },
            TimeProvider.System);
        guest.Resume();
        Assert.True(SpinWait.SpinUntil(() => guest.PagesWritten > 1000, TimeSpan.FromSeconds(60)), "the guest does not write");
        guest.Pause();
        var content = new PageContent(guest.Block.PageCount, (1 << 20) / TargetPage.Size, 30, 1, guest.PagesWritten);
        var expected = new byte[TargetPage.Size];
        for (long page = 0; page < guest.Block.PageCount; page++)
        {
            content.Fill(page, 0, expected);
            Assert.True(guest.Block.Span(page * TargetPage.Size, TargetPage.Size).SequenceEqual(expected), $"page {page}");
        }
    }

    [Fact]
    public void Quantiles_are_nearest_ranks()
    {
        Assert.Equal(new Latency(500, 990, 999, 1000), Latency.Of(Enumerable.Range(1, 1000).Reverse().Select(static i => (double)i)));
        Assert.Equal(new Latency(2, 4, 4, 4), Latency.Of([4, 1, 3, 2]));
        Assert.Equal(new Latency(7, 7, 7, 7), Latency.Of([7]));
        Assert.Null(Latency.Of([]));
    }

    [Theory]
    [InlineData("--preempt")]
    [InlineData("--touch-rate", "1M")]
    [InlineData("--touch-threads", "2")]
    [InlineData("--postcopy", "--touch-rate", "0")]
    [InlineData("--postcopy", "--touch-threads", "0")]
    [InlineData("--postcopy", "--wire-only")]
    [InlineData("--postcopy", "--memory-file", "/etc/hostname")]
    [InlineData("--postcopy", "--compression", "zstd")]
    [InlineData("--max-bandwidth", "0")]
    public async Task What_does_not_fit_together_is_one_line_and_exit_2(params string[] options)
    {
        var run = await ToolRun.RunAsync(["bench", .. options], Token);
        Assert.Equal(2, run.ExitCode);
        Assert.Single(run.ErrorLines);
    }

    private static void Check(JsonElement entry)
    {
        var postcopy = entry.GetProperty("postcopy");
        var seconds = postcopy.GetProperty("seconds").GetDouble();
        Assert.Equal(
            seconds / entry.GetProperty("migration").GetProperty("seconds").GetDouble(),
            entry.GetProperty("postcopy_time_ratio").GetDouble(), 1e-9);
        Assert.InRange(postcopy.GetProperty("postcopy_seconds").GetDouble(), 0.01, seconds);
        Assert.InRange(postcopy.GetProperty("downtime_seconds").GetDouble(), 1e-6, seconds);
        Assert.InRange(postcopy.GetProperty("start_delay_seconds").GetDouble(), 1e-6, seconds);
        Assert.True(postcopy.GetProperty("normal_pages").GetInt64() > 0);
        Assert.True(postcopy.GetProperty("destination_cpu_seconds").GetDouble() > 0);
        Assert.InRange(postcopy.GetProperty("requested_pages").GetInt64(), 1, postcopy.GetProperty("requests").GetInt64());
        var touches = postcopy.GetProperty("touches");
        Assert.InRange(touches.GetProperty("faults").GetInt64(), 1, touches.GetProperty("checked_pages").GetInt64());
        Assert.Equal(touches.GetProperty("checked_pages").GetInt64() / 4.0, touches.GetProperty("written_pages").GetInt64(), 4.0);
        var latency = touches.GetProperty("fault_seconds");
        double[] quantiles = [.. ((string[])["p50", "p99", "p999", "max"]).Select(name => latency.GetProperty(name).GetDouble())];
        Assert.Equal(quantiles.Order(), quantiles);
        Assert.True(quantiles[0] > 0);
    }

    /// <summary>One leg between two halves in this process.</summary>
    private static async Task<ResultMessage> MoveAsync(Action<Workload> change, Fault? fault = null)
    {
        LiveGuest.RequireUserfaultfd();
        using var guest = new Workload(new WorkloadOptions { RamBytes = RamBytes }, TimeProvider.System);
        change(guest);
        using var memory = new GuestMemory([RamBlock.Allocate("pc.ram", RamBytes, RamAllocation.Default)]);
        var leg = new PostcopyServeLeg(
            IPAddress.Loopback, new ChannelOptions(), null, NullLogger<MigrationDestination>.Instance, TimeProvider.System);
        var request = new PrepareMessage
        {
            Leg = leg.Name,
            RamBytes = RamBytes,
            Channels = 0,
            Postcopy = new PostcopyRequest
            {
                Preempt = false,
                Seed = 1,
                ZeroPercent = 0,
                WindowBytes = RamBytes,
                TouchBytesPerSecond = 100 << 20,
                Threads = 2,
            },
        };
        await using var run = await leg.PrepareAsync(request, memory, Token);
        await using var proxy = FaultProxy.Start(
            ChannelAddress.Tcp("127.0.0.1", run.Port), _ => fault is null ? FaultPlan.None : new FaultPlan { Forward = fault });
        var source = new MigrationSource(
            new WorkloadGuest(guest), new MigrationSourceOptions { Postcopy = true, MaxPostcopyBytesPerSecond = 16 << 20 });
        var sending = source.MigrateAsync(proxy.Address, null, Token);
        var result = await run.RunAsync(Token).WaitAsync(TimeSpan.FromMinutes(1), Token);
        await Task.WhenAny(sending).WaitAsync(TimeSpan.FromMinutes(1), Token);
        Assert.Equal(fault is null, sending.IsCompletedSuccessfully);
        return result;
    }
}
