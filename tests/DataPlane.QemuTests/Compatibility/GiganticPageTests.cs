using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>A QEMU whose guest lies on one page of 1 GiB, as a source and as a destination.</summary>
public sealed class GiganticPageTests : ReceiveTest
{
    private ReservedHugePages? _reserved;

    /// <summary>The pages are given back after the end of the processes that use them, which would hold them longer.</summary>
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _reserved?.Dispose();
        GC.SuppressFinalize(this);
    }

    [Theory(Explicit = true)]
    [InlineData("7.2", 0)]
    [InlineData("11.1", 2)]
    public Task A_guest_on_a_page_of_1_GiB_is_saved_and_sent_back(string version, int channels) =>
        SaveAndSendBackAsync(version, channels, []);

    /// <summary>The guest goes on when its page is there, which is all of its memory; without the page's size it never would.</summary>
    [Theory(Explicit = true)]
    [InlineData("7.2", false)]
    [InlineData("11.1", true)]
    public Task A_guest_on_a_page_of_1_GiB_is_sent_back_by_postcopy(string version, bool asksTheMonitor) =>
        SaveAndSendBackAsync(version, 0, ["--postcopy"], asksTheMonitor);

    private async Task SaveAndSendBackAsync(string version, int channels, string[] postcopy, bool asksTheMonitor = false)
    {
        _reserved = ReservedHugePages.ForGigantic(2L << 30);
        var options = Newest(version) with
        {
            MemoryMiB = 1024,
            Extra =
            [
                "-object", "memory-backend-memfd,id=gigantic,size=1G,hugetlb=on,hugetlbsize=1G,share=on", "-machine",
                "memory-backend=gigantic",
            ],
        };
        var source = await StartSourceAsync(options);
        await SaveAsync(source, new MigrationSettings { Channels = channels, ReturnPath = true });
        using (var file = MappedRamFile.Open(OutFile))
        {
            AssertSame(file, "gigantic", await source.SaveMemoryAsync(Token));
        }

        var last = source.Console.Reports[^1];

        var destination = await StartAsync(options.IncomingIn(options.Version) with { SecondMonitor = true }, "destination");
        await destination.PrepareMigrationAsync(
            new MigrationSettings { Channels = channels, Capabilities = postcopy is [] ? [] : ["postcopy-ram"] }, Token);
        var uri = await destination.StartIncomingAsync("tcp:127.0.0.1:0", Token);
        string[] told = asksTheMonitor ? ["--qmp", $"unix:{destination.OfferSecondMonitor()}"]
            : postcopy is [] ? []
            : ["--huge-pages", "1G"];
        await using var send = await SendProcess.StartAsync(OutFile, uri, channels, Work, ["--timeout", "60s", .. postcopy, .. told]);
        var result = await send.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        await destination.WaitForMigrationAsync("completed", Token);
        var first = await destination.Console.WaitForAsync(_ => true, "it goes on", Token);
        Assert.InRange(first.Pass, last.Pass + 1, last.Pass + 3);
        await destination.Console.WaitForAsync(report => report.Pass > first.Pass, "it counts on", Token);
    }
}
