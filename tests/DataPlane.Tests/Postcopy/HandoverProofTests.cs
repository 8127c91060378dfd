using DataPlane.Postcopy;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Postcopy;

public sealed class HandoverProofTests : IDisposable
{
    private readonly RamBlock _block = RamBlock.Allocate("pc.ram", 4 * TargetPage.Size, RamAllocation.Default);

    public void Dispose() => _block.Dispose();

    [Fact]
    public void Only_a_page_that_was_asked_for_afterwards_and_comes_on_the_preempt_channel_proves_anything()
    {
        var proof = new HandoverProof();
        proof.Tell(new SourceTraits(IsOurs: false, HasPreempt: false, TakesBack: true));
        proof.Told([(_block, 0)]);
        proof.OnAnswer(_block, 1, ChannelId.Main);
        proof.OnAnswer(_block, 0, ChannelId.Preempt);
        Assert.True(proof.IsMissing);

        proof.OnAnswer(_block, 1, ChannelId.Preempt);
        Assert.False(proof.IsMissing);
    }
}
