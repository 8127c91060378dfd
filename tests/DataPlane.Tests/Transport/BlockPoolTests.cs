using System.Runtime.InteropServices;
using DataPlane.Tests.Support;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

[Collection(CountsOfTheProcess.Name)]
public sealed class BlockPoolTests
{
    [Fact]
    public void Renting_and_returning_allocate_nothing_once_the_blocks_exist()
    {
        using BlockPool pool = new(4096 * 4, 4096);
        RentAndReturn(pool, 3);
        var before = GC.GetAllocatedBytesForCurrentThread();
        RentAndReturn(pool, 10_000);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [Fact]
    public void A_block_stays_where_it_is()
    {
        using BlockPool pool = new();
        using var block = pool.RentBlock("test");
        GC.Collect(2, GCCollectionMode.Forced, blocking: true, compacting: true);
        Marshal.WriteByte(block.Address, block.Length - 1, 7);
        Assert.Equal(7, block.Span[^1]);
        Assert.Equal(7, block.Memory.Span[BlockPool.DefaultBlockBytes - 1]);
    }

    [Fact]
    public void Past_the_bound_renting_throws_and_names_the_holders()
    {
        using BlockPool pool = new(4096 * 2, 4096);
        using var first = pool.RentBlock("header 1");
        using var second = pool.RentBlock("header 2");
        var message = Assert.Throws<InvalidOperationException>(() => pool.RentBlock("header 3")).Message;
        Assert.Contains("header 3", message, StringComparison.Ordinal);
        Assert.Contains("header 1", message, StringComparison.Ordinal);
        Assert.Equal(2, pool.OutstandingBlocks);
        Assert.Equal(["header 1", "header 2"], pool.OutstandingOwners.Order());
    }

    [Fact]
    public void A_second_return_throws_and_changes_nothing()
    {
        using BlockPool pool = new(4096 * 2, 4096);
        var block = pool.RentBlock("twice");
        block.Dispose();
        Assert.Contains("twice", Assert.Throws<InvalidOperationException>(block.Dispose).Message, StringComparison.Ordinal);
        Assert.Equal(0, pool.OutstandingBlocks);
        using var a = pool.RentBlock("a");
        using var b = pool.RentBlock("b");
        Assert.NotSame(a, b);
    }

    [Fact]
    public void Blocks_that_come_back_after_the_pool_has_gone_are_dropped()
    {
        BlockPool pool = new();
        var block = pool.RentBlock("late");
        pool.Dispose();
        block.Span.Fill(1);
        block.Dispose();
        Assert.Equal(0, pool.OutstandingBlocks);
        Assert.Throws<ObjectDisposedException>(() => pool.RentBlock("after"));
    }

    [Fact]
    public void As_a_memory_pool_it_gives_whole_blocks_and_never_more()
    {
        using BlockPool pool = new();
        var view = pool.For("pipe");
        using (var owner = view.Rent(1))
        {
            Assert.Equal(BlockPool.DefaultBlockBytes, owner.Memory.Length);
            Assert.Equal(["pipe"], pool.OutstandingOwners);
        }

        Assert.Equal(BlockPool.DefaultBlockBytes, view.MaxBufferSize);
        Assert.Throws<ArgumentOutOfRangeException>(() => view.Rent(BlockPool.DefaultBlockBytes + 1));
        Assert.Equal(0, pool.OutstandingBlocks);
    }

    [Fact]
    public void Many_threads_never_hold_the_same_block()
    {
        using BlockPool pool = new(4096 * 8, 4096);
        Parallel.For(0, 8, new ParallelOptions { MaxDegreeOfParallelism = 8 }, worker =>
        {
            for (var i = 0; i < 5_000; i++)
            {
                using var block = pool.RentBlock("worker");
                block.Span[0] = (byte)worker;
                Thread.SpinWait(5);
                Assert.Equal((byte)worker, block.Span[0]);
            }
        });
        Assert.Equal(0, pool.OutstandingBlocks);
    }

    private static void RentAndReturn(BlockPool pool, int times)
    {
        for (var i = 0; i < times; i++)
        {
            var first = pool.RentBlock("a");
            var second = pool.RentBlock("b");
            first.Dispose();
            second.Dispose();
        }
    }
}
