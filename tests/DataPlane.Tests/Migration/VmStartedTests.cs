using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>Return path message 8, which a destination of the future may send at any time.</summary>
public sealed class VmStartedTests
{
    private static readonly byte[] s_twice = [0, 8, 0, 0, 0, 8, 0, 4, 1, 2, 3, 4];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_source_counts_it_and_goes_on(bool postcopy)
    {
        var token = TestContext.Current.CancellationToken;
        using var guest = new TestGuest(RamBlock.Allocate("pc.ram", 1 << 20, RamAllocation.Default));
        guest.Memory.Blocks[0].Span(0, 4096).Fill(7);
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new() { Postcopy = postcopy });
        var receiving = destination.ReceiveAsync(cancellationToken: token);
        await using var link = FaultProxy.Start(
            destination.LocalAddresses[0], static _ => new FaultPlan { Backward = new Fault { Preface = s_twice } });

        var report = await new MigrationSource(guest, new() { Postcopy = postcopy }).MigrateAsync(link.Address, cancellationToken: token);

        Assert.Equal(2, report.VmStartedMessages);
        Assert.Equal(postcopy, report.Postcopy is not null);
        Assert.Equal(0, (await receiving).VmStartedMessages);
        incoming.AssertSameMemoryAs(guest.Memory);
    }
}
