using DataPlane.Linux;
using DataPlane.Postcopy;
using Xunit;

namespace DataPlane.Tests.Postcopy;

public sealed class RangeDropperTests
{
    private const int Pages = 3000;

    [Fact]
    public void More_ranges_than_one_call_takes_are_gone_and_all_between_them_stays()
    {
        using var block = RamBlock.Allocate("pc.ram", Pages * TargetPage.Size, RamAllocation.Default with { HugePages = false });
        block.Span(0, Pages * TargetPage.Size).Fill(7);
        var dropper = new RangeDropper();

        for (var page = 0; page < Pages; page += 3)
        {
            dropper.Add(block.Address + (page * TargetPage.Size), TargetPage.Size);
        }

        dropper.Flush();

        for (var page = 0; page < Pages; page++)
        {
            Assert.Equal(page % 3 == 0 ? 0 : 7, block.Span((page * TargetPage.Size) + 17, 1)[0]);
        }
    }

    [Fact]
    public void A_range_that_the_kernel_refuses_is_an_error_and_those_before_it_are_gone()
    {
        using var block = RamBlock.Allocate("pc.ram", 4 * TargetPage.Size, RamAllocation.Default with { HugePages = false });
        block.Span(0, 4 * TargetPage.Size).Fill(7);
        var dropper = new RangeDropper();
        dropper.Add(block.Address, TargetPage.Size);
        dropper.Add(block.Address + TargetPage.Size + 1, TargetPage.Size);

        Assert.Throws<LinuxException>(dropper.Flush);

        Assert.Equal([0, 7], new[] { block.Span(0, 1)[0], block.Span(TargetPage.Size, 1)[0] });
    }
}
