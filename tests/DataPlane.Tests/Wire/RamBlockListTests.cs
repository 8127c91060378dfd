using DataPlane.Wire;
using Xunit;

namespace DataPlane.Tests.Wire;

public sealed class RamBlockListTests
{
    [Fact]
    public void A_list_is_complete_when_its_lengths_reach_the_total()
    {
        var list = Begin(3 * 4096);
        Assert.Equal(3 * 4096, list.RemainingBytes);
        Assert.True(list.TryAdd(new RamBlockEntry("a", 4096), out _));
        Assert.False(list.IsComplete);
        Assert.Equal(8192, list.RemainingBytes);
        Assert.True(list.TryAdd(new RamBlockEntry("b", 8192), out _));
        Assert.True(list.IsComplete);
        Assert.Equal(["a", "b"], list.Entries.Select(e => e.Name));
    }

    [Fact]
    public void Doubles_and_excess_are_refused_and_not_added()
    {
        var list = Begin(2 * 4096);
        Assert.True(list.TryAdd(new RamBlockEntry("a", 4096), out _));
        Assert.False(list.TryAdd(new RamBlockEntry("a", 4096), out var twice));
        Assert.Contains("'a' is listed twice", twice, StringComparison.Ordinal);
        Assert.False(list.TryAdd(new RamBlockEntry("b", 8192), out var excess));
        Assert.Contains("4096 bytes of the announced total are left", excess, StringComparison.Ordinal);
        Assert.False(list.TryAdd(new RamBlockEntry("b", 0), out _));
        Assert.Single(list.Entries);
        Assert.Equal(4096, list.RemainingBytes);
    }

    [Fact]
    public void The_number_of_blocks_is_bounded()
    {
        var list = Begin(long.MaxValue);
        for (var i = 0; i < WireLimits.MaxRamBlocks; i++)
        {
            Assert.True(list.TryAdd(new RamBlockEntry($"b{i}", 4096), out _));
        }

        Assert.False(list.TryAdd(new RamBlockEntry("one more", 4096), out var error));
        Assert.Contains("more than 4096 RAM blocks", error, StringComparison.Ordinal);
    }

    [Fact]
    public void The_total_is_bounded()
    {
        Assert.True(RamBlockList.TryBegin(8192, 8192, out _, out _));
        Assert.False(RamBlockList.TryBegin(8193, 8192, out _, out var tooMuch));
        Assert.Contains("allowed are 8192", tooMuch, StringComparison.Ordinal);
        Assert.False(RamBlockList.TryBegin(0, 8192, out _, out var none));
        Assert.Contains("no RAM", none, StringComparison.Ordinal);
    }

    private static RamBlockList Begin(long total)
    {
        Assert.True(RamBlockList.TryBegin(total, long.MaxValue, out var list, out _));
        return list;
    }
}
