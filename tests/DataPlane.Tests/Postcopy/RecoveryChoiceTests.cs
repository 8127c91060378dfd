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
        using var memory = Memory();
        List<Exception> told = [];
        await using var pair = await ChannelPair.ConnectAsync(Token);
        using var choice = new RecoveryChoice(new ReceivedPages(memory), told.Add);
        choice.Add(pair.Channel, static () => { }, static _ => throw new InsufficientMemoryException("no thread"));
        Assert.Equal("no thread", Assert.Single(told).Message);
        await pair.Peer.ReadToEndAsync(Token);
        Assert.False(choice.Chosen.IsCompleted);
    }

    /// <summary>A peer that begins a recovery and never goes on: the end of the choice does not leave its thread behind.</summary>
    [Fact]
    public async Task The_end_of_a_choice_waits_for_its_threads()
    {
        using var memory = Memory();
        List<Exception> told = [];
        await using var pair = await ChannelPair.ConnectAsync(Token);
        var choice = new RecoveryChoice(new ReceivedPages(memory), told.Add);
        Thread? hearing = null;
        choice.Add(pair.Channel, static () => { }, thread =>
        {
            hearing = thread;
            thread.Start();
        });
        Assert.True(hearing!.IsAlive);
        Assert.Equal("dp-recovery", hearing.Name);
        choice.Dispose();
        Assert.False(hearing.IsAlive);
        Assert.Empty(told);
    }

    private static GuestMemory Memory() => new([RamBlock.Allocate(
        "pc.ram", 16 * TargetPage.Size, RamAllocation.Default with { HugePages = false })]);
}
