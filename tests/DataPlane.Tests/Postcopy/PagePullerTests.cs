using DataPlane.Postcopy;
using Xunit;

namespace DataPlane.Tests.Postcopy;

public sealed class PagePullerTests
{
    [Fact]
    public async Task An_unforeseen_failure_is_reported_and_does_not_end_the_process()
    {
        using var memory = new GuestMemory([Block()]);
        using var other = new GuestMemory([Block()]);
        var ledgerOfAnother = new PageLedger(new ReceivedPages(other), static _ => TargetPage.Size);
        var failed = new TaskCompletionSource<Exception>(TaskCreationOptions.RunContinuationsAsynchronously);

        using (new PagePuller(memory, ledgerOfAnother, new PostcopyReturnPath(), failed.SetResult))
        {
            var failure = await failed.Task.WaitAsync(TimeSpan.FromMinutes(1), TestContext.Current.CancellationToken);
            Assert.IsType<ArgumentException>(failure);
        }
    }

    private static RamBlock Block() => RamBlock.Allocate("pc.ram", 16 * TargetPage.Size, RamAllocation.Default with { HugePages = false });
}
