using DataPlane.Linux;
using DataPlane.Memory;
using Xunit;

namespace DataPlane.Tests.Memory;

public sealed class RamBlockTests
{
    public static TheoryData<bool, bool, bool> Kinds => new MatrixTheoryData<bool, bool, bool>([false, true], [false, true], [false, true]);

    [Theory]
    [MemberData(nameof(Kinds))]
    public void Every_kind_of_memory_reads_as_zero_and_keeps_what_is_written(bool hugePages, bool populate, bool shared)
    {
        const long Length = (2L << 20) + 3 * TargetPage.Size;
        using var block = RamBlock.Allocate(
            "pc.ram", Length, new RamAllocation { HugePages = hugePages, Populate = populate, Shared = shared });

        Assert.Equal(Length / TargetPage.Size, block.PageCount);
        Assert.True(block.StartsZeroed);
        Assert.Equal(0, block.Address % (hugePages ? 2 << 20 : TargetPage.Size));
        Assert.True(ZeroPage.IsZero(block.Span(0, (int)Length)));
        block.Span(Length - 1, 1)[0] = 7;
        Assert.Equal(7, block.Span(Length - TargetPage.Size, TargetPage.Size)[^1]);
    }

    [Theory]
    [InlineData(0, 3 * TargetPage.Size + 1)]
    [InlineData(3 * TargetPage.Size, 1)]
    [InlineData(-1, 1)]
    [InlineData(1, -1)]
    [InlineData(long.MaxValue, int.MaxValue)]
    [InlineData(long.MinValue, 0)]
    public void A_span_outside_the_block_is_refused(long offset, int length)
    {
        using var block = RamBlock.Allocate("b", 3 * TargetPage.Size, RamAllocation.Default);

        Assert.Throws<ArgumentOutOfRangeException>(() => block.Span(offset, length).Length);
    }

    [Fact]
    public void A_span_may_reach_the_end_and_be_empty_there()
    {
        using var block = RamBlock.Allocate("b", 3 * TargetPage.Size, RamAllocation.Default);

        Assert.Equal(3 * TargetPage.Size, block.Span(0, 3 * TargetPage.Size).Length);
        Assert.Equal(0, block.Span(3 * TargetPage.Size, 0).Length);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-TargetPage.Size)]
    [InlineData(TargetPage.Size - 1)]
    [InlineData(TargetPage.Size + 1)]
    public void A_length_that_is_not_whole_pages_is_refused(long length)
    {
        Assert.Throws<ArgumentException>(() => RamBlock.Allocate("b", length, RamAllocation.Default));
        Assert.Throws<ArgumentException>(() => RamBlock.Wrap("b", TargetPage.Size, length, false));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(255)]
    public void Names_of_1_to_255_bytes_are_taken(int length)
    {
        using var block = RamBlock.Wrap(new string('n', length), TargetPage.Size, TargetPage.Size, false);

        Assert.Equal(length, block.Utf8Name.Length);
    }

    [Fact]
    public void The_name_limit_counts_bytes_not_characters()
    {
        using var block = RamBlock.Wrap(new string('é', 127), TargetPage.Size, TargetPage.Size, false);
        Assert.Equal(254, block.Utf8Name.Length);

        Assert.Throws<ArgumentException>(() => RamBlock.Wrap(new string('é', 128), TargetPage.Size, TargetPage.Size, false));
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\0b")]
    public void A_name_that_the_wire_cannot_carry_is_refused(string name)
        => Assert.Throws<ArgumentException>(() => RamBlock.Wrap(name, TargetPage.Size, TargetPage.Size, false));

    [Fact]
    public void A_name_that_is_not_unicode_is_refused() // not a theory: attributes cannot hold half a surrogate pair
        => Assert.Throws<ArgumentException>(() => RamBlock.Wrap("a\ud800", TargetPage.Size, TargetPage.Size, false));

    [Fact]
    public void A_name_of_256_bytes_is_refused()
        => Assert.Throws<ArgumentException>(() => RamBlock.Allocate(new string('n', 256), TargetPage.Size, RamAllocation.Default));

    [Theory]
    [InlineData(0)]
    [InlineData(-TargetPage.Size)]
    [InlineData(TargetPage.Size + 8)]
    public void An_address_that_is_not_a_page_is_refused(long address)
        => Assert.Throws<ArgumentException>(() => RamBlock.Wrap("b", (nint)address, TargetPage.Size, false));

    [Fact]
    public void A_block_that_leaves_the_address_space_is_refused()
        => Assert.Throws<ArgumentException>(() => RamBlock.Wrap("b", TargetPage.Size, long.MaxValue & -TargetPage.Size, false));

    [Fact]
    public void Wrapped_memory_is_the_hosts_and_its_owner_goes_once_with_the_block()
    {
        using var mapping = MemoryMapping.Anonymous(TargetPage.Size);
        var owner = new CountingOwner();
        var block = RamBlock.Wrap("b", mapping.Address, TargetPage.Size, startsZeroed: false, owner);
        block.Span(0, 1)[0] = 9;

        block.Dispose();
        block.Dispose();

        Assert.Equal(1, owner.Disposals);
        Assert.Equal(0, block.Address);
        Assert.Equal(9, FirstByte(mapping));
        Assert.False(block.StartsZeroed);
        Assert.Throws<ObjectDisposedException>(() => block.Span(0, 1).Length);
    }

    [Fact]
    public void Memory_that_the_kernel_does_not_have_is_an_io_error()
        => Assert.ThrowsAny<IOException>(() => RamBlock.Allocate("b", 1L << 60, RamAllocation.Default));

    [Fact]
    public void A_run_knows_its_bytes_and_address()
    {
        using var block = RamBlock.Allocate("b", 16 * TargetPage.Size, RamAllocation.Default);
        var run = new PageRun(block, 3, 5);

        Assert.Equal((3 * 4096, 5 * 4096, block.Address + 3 * 4096), (run.Offset, run.Bytes, run.Address));
    }

    private static unsafe byte FirstByte(MemoryMapping mapping) => *(byte*)mapping.Address;

    private sealed class CountingOwner : IDisposable
    {
        internal int Disposals { get; private set; }

        public void Dispose() => Disposals++;
    }
}
