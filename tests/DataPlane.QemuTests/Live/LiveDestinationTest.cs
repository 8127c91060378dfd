using DataPlane.Postcopy;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Live;

/// <summary>What the tests share that run a real QEMU's guest in this process before its memory is there.</summary>
public abstract class LiveDestinationTest : QemuTest
{
    // Slow enough that most of the memory is still at the source when it switches.
    private protected const long Slow = 12 << 20;

    private protected static async Task ArrivesAsync(
        QemuProcess source, RamAllocation allocation, MigrationDestinationOptions options, long hostPageSize = TargetPage.Size)
    {
        try
        {
            UserfaultPageStore.CheckSupported();
        }
        catch (IOException refused)
        {
            Assert.Skip($"userfaultfd for missing pages: {refused.Message}");
        }

        using var guest = new RunningGuest(allocation);
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], guest, options with { Postcopy = true });
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        await source.PrepareMigrationAsync(
            new MigrationSettings
            {
                Channels = options.MultifdChannels,
                MaxBandwidth = Slow,
                Capabilities = options.Preempt ? ["postcopy-ram", "postcopy-preempt"] : ["postcopy-ram"],
                Parameters = [("max-postcopy-bandwidth", Slow)],
            },
            Token);
        await source.StartMigrationAsync($"tcp:{destination.LocalAddresses[0]}", Token);
        await source.WaitForCounterAsync("ram", "transferred", 4 << 20, Token);
        await source.ExecuteAsync("migrate-start-postcopy", null, Token);

        MigrationReport report;
        try
        {
            report = await receiving.WaitAsync(Patience.Default, Token);
        }
        catch (TimeoutException)
        {
            var lost = string.Join("; ", guest.Pauses.Select(static pause => pause.Cause.Message));
            Assert.Fail($"it does not arrive: {await source.ExecuteAsync("query-migrate", null, Token)}; {guest.Touched} touched; {lost}");
            throw;
        }

        await source.WaitForMigrationAsync("completed", Token);

        Assert.Equal("postmigrate", await source.StatusAsync(Token));
        Assert.True(guest.IsComplete);
        Assert.Empty(guest.Pauses);
        Assert.NotNull(report.Postcopy);
        var difference = guest.FirstDamage(await source.SaveMemoryAsync(Token));
        Assert.True(difference is null, difference);
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{report.Postcopy.RequestedPages} pages asked for, {guest.Touched} touched, {guest.Overwritten} written");
        Assert.Equal(hostPageSize, guest.Ram.HostPageSize);
        Assert.InRange(report.Postcopy.RequestedPages, hostPageSize / TargetPage.Size, guest.Ram.PageCount);
        Assert.NotEqual(0, guest.Overwritten);
        Assert.Equal(options.MultifdChannels, report.Channels.Count(static one => one.Kind == ChannelKind.Multifd && one.Bytes > 64));
        Assert.Equal(options.Preempt, report.Channels.Any(static one => one.Kind == ChannelKind.Preempt && one.Bytes > 0));
    }
}
