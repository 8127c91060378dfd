using DataPlane.Postcopy;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>What a source makes its destination take beside the guest's memory.</summary>
public sealed class StagingLimitTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Compressed_streams_share_the_limit()
    {
        var failure = await MoveAsync(
            new MigrationSourceOptions { MultifdChannels = 2, Compression = CompressionMethod.Zstd },
            new MigrationDestinationOptions { MultifdChannels = 2, MaxStagingBytes = 1 << 20 });
        Assert.Equal(FailureReason.LimitExceeded, failure.Reason);
        Assert.Contains("what its compressed stream refers back to needs", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void So_do_host_pages_that_come_in_pieces()
    {
        using var memory = new GuestMemory([RamBlock.Allocate("pc.ram", 4 << 20, RamAllocation.Default with { HugePages = false })]);
        var pages = new ReceivedPages(memory);
        var arrivals = new PageArrivals(new DirectPageStore(pages), new PageLedger(pages, static _ => 2 << 20), NullLogger.Instance)
        {
            Staging = new StagingBudget(3 << 20),
        };
        using var preempt = new HostPageAssembly(arrivals, ChannelId.Preempt);
        using (var main = new HostPageAssembly(arrivals, ChannelId.Main))
        {
            main.Add(memory.Blocks[0], 0, source: 0);
            var failure = Assert.Throws<ChannelException>(() => preempt.Add(memory.Blocks[0], 2 << 20, source: 0));
            Assert.Equal((FailureReason.LimitExceeded, "preempt"), (failure.Reason, failure.Channel));
            Assert.Contains("a host page of block 'pc.ram' needs 2097152 bytes", failure.Message, StringComparison.Ordinal);
        }

        preempt.Add(memory.Blocks[0], 2 << 20, source: 0);
    }

    /// <summary>How the destination ends; its guest is given up.</summary>
    private static async Task<MigrationException> MoveAsync(
        MigrationSourceOptions sourceOptions, MigrationDestinationOptions options)
    {
        using var guest = TestGuest.Patterned(16 << 20);
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination([ChannelAddress.Parse("127.0.0.1:0")], incoming, options);
        var receiving = destination.ReceiveAsync(cancellationToken: Token);
        var sending = new MigrationSource(guest, sourceOptions).MigrateAsync(destination.LocalAddresses[0], cancellationToken: Token);
        var failure = await Assert.ThrowsAsync<MigrationException>(() => receiving.WaitAsync(TimeSpan.FromMinutes(1), Token));
        await Assert.ThrowsAsync<MigrationException>(() => sending.WaitAsync(TimeSpan.FromMinutes(1), Token));
        Assert.False(incoming.Started);
        return failure;
    }
}
