using DataPlane.Memory;
using DataPlane.Postcopy;
using DataPlane.TestSupport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

public sealed class RecoveryChoiceTests
{
    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>
    /// A system that gives no thread at this moment: that costs this connection, and neither the pause nor the next one's place.
    /// </summary>
    [Fact]
    public async Task A_connection_that_nobody_can_hear_ends_alone()
    {
        using var memory = new GuestMemory([RamBlock.Allocate(
            "pc.ram", 16 * TargetPage.Size, RamAllocation.Default with { HugePages = false })]);
        List<Exception> told = [];
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using var choice = new RecoveryChoice(new ReceivedPages(memory), told.Add);
        choice.Add(pair.Channel, static () => { }, static _ => throw new InsufficientMemoryException("no thread"));
        Assert.Equal("no thread", Assert.Single(told).Message);
        await pair.Peer.ReadToEndAsync(Token);
        Assert.False(choice.Chosen.IsCompleted);
    }
}
