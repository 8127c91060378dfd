using System.Text;
using Xunit;

namespace DataPlane.Tests.Memory;

public sealed class GuestMemoryTests
{
    [Fact]
    public void Blocks_are_found_by_their_exact_name()
    {
        using var memory = Guest("pc.ram", "pc.bios", "grüße");

        foreach (var expected in memory.Blocks)
        {
            Assert.True(memory.TryGetBlock(Encoding.UTF8.GetBytes(expected.Name), out var block));
            Assert.Same(expected, block);
            Assert.True(memory.TryGetBlock(expected.Name, out block));
            Assert.Same(expected, block);
        }
    }

    [Theory]
    [InlineData("")]
    [InlineData("pc.ra")]
    [InlineData("pc.ram ")]
    [InlineData("PC.RAM")]
    public void Other_names_are_not_found(string name)
    {
        using var memory = Guest("pc.ram", "pc.bios");

        Assert.False(memory.TryGetBlock(Encoding.UTF8.GetBytes(name), out var block));
        Assert.Null(block);
        Assert.False(memory.TryGetBlock(name, out _));
    }

    [Fact]
    public void Any_bytes_may_be_asked_for()
    {
        using var memory = Guest("a");

        Assert.False(memory.TryGetBlock([0xFF, 0xFE, 0x00], out _));
        Assert.False(memory.TryGetBlock(new byte[100_000], out _));
    }

    [Fact]
    public void Totals_and_positions_follow_the_order_given()
    {
        using var big = RamBlock.Allocate("big", 3 * TargetPage.Size, RamAllocation.Default);
        using var small = RamBlock.Allocate("small", TargetPage.Size, RamAllocation.Default);
        Assert.Equal(-1, big.Index);

        using var memory = new GuestMemory([big, small]);

        Assert.Equal((4L * 4096, 4L), (memory.TotalBytes, memory.TotalPages));
        Assert.Equal([0, 1], memory.Blocks.Select(block => block.Index));
    }

    [Fact]
    public void A_name_twice_is_refused()
        => Assert.Throws<ArgumentException>(() => Guest("a", "b", "a"));

    [Fact]
    public void No_block_at_all_is_refused() => Assert.Throws<ArgumentException>(() => Guest());

    [Fact]
    public void A_block_of_another_guest_is_refused()
    {
        using var memory = Guest("a");

        Assert.Throws<ArgumentException>(() => new GuestMemory([memory.Blocks[0]]));
    }

    [Fact]
    public void A_total_beyond_63_bits_is_refused()
    {
        var length = 1L << 62;
        using var a = RamBlock.Wrap("a", TargetPage.Size, length, false);
        using var b = RamBlock.Wrap("b", TargetPage.Size, length, false);

        Assert.Throws<ArgumentException>(() => new GuestMemory([a, b]));
    }

    [Fact]
    public void Disposing_the_guest_disposes_its_blocks()
    {
        var memory = Guest("a", "b");
        memory.Dispose();

        Assert.All(memory.Blocks, block => Assert.Equal(0, block.Address));
    }

    [Fact]
    public void A_page_set_has_a_bitmap_for_each_block_of_its_guest()
    {
        using GuestMemory memory = Guest("a", "b"), other = Guest("a", "b");
        var set = new GuestPageSet(memory);
        set[memory.Blocks[1]].Set(1);

        Assert.Equal(1, set.CountSet());
        Assert.Equal(0, set[memory.Blocks[0]].CountSet());
        Assert.Throws<ArgumentException>(() => set[other.Blocks[1]]);
        using var loose = RamBlock.Allocate("c", TargetPage.Size, RamAllocation.Default);
        Assert.Throws<ArgumentException>(() => set[loose]);
    }

    [Fact]
    public void Page_sets_fill_empty_and_unite()
    {
        using GuestMemory memory = Guest("a", "b"), other = Guest("a", "b");
        GuestPageSet left = new(memory), right = new(memory);
        left[memory.Blocks[0]].Set(0);
        right[memory.Blocks[1]].Set(1);

        left.UnionWith(right);
        Assert.Equal((2, 1), (left.CountSet(), right.CountSet()));
        left.SetAll();
        Assert.Equal(memory.TotalPages, left.CountSet());
        left.ClearAll();
        Assert.Equal(0, left.CountSet());
        Assert.Throws<ArgumentException>(() => left.UnionWith(new GuestPageSet(other)));
    }

    private static GuestMemory Guest(params string[] names)
        => new([.. names.Select(name => RamBlock.Allocate(name, 2 * TargetPage.Size, RamAllocation.Default))]);
}
