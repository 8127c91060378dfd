using DataPlane.Linux;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

/// <summary>What the tests of bulk use do with any pair of channels, whatever is between them.</summary>
internal static class BulkTransfers
{
    /// <summary>Blocking work on a thread of its own.</summary>
    public static Task<T> OnThread<T>(Func<T> work) =>
        Task.Factory.StartNew(work, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <summary>The buffer in pieces of the given lengths, as far as it reaches.</summary>
    public static IoVec[] Split(NativeBuffer buffer, int[] lengths)
    {
        List<IoVec> vectors = [];
        var offset = 0;
        foreach (var length in lengths)
        {
            var fits = Math.Min(length, buffer.Length - offset);
            vectors.Add(buffer.Vector(offset, fits));
            offset += fits;
        }

        return [.. vectors];
    }

    /// <summary>A thousand vectored sends and receives of 8 KiB, once everything is warm.</summary>
    public static void AssertNoAllocation(Channel from, Channel to)
    {
        using var source = new NativeBuffer(8192).Fill(1);
        using NativeBuffer target = new(8192);

        long Transfer(int times)
        {
            Span<IoVec> vectors = stackalloc IoVec[2];
            long bytes = 0;
            for (var i = 0; i < times; i++)
            {
                (vectors[0], vectors[1]) = (source.Vector(0, 100), source.Vector(100, 8092));
                bytes += from.Send(vectors).Bytes;
                (vectors[0], vectors[1]) = (target.Vector(0, 4096), target.Vector(4096, 4096));
                bytes += to.Receive(vectors).Bytes;
            }

            return bytes;
        }

        // The runtime allocates some dozens of bytes once, when it has compiled one of the methods anew (seen: 64 on a busy machine). What
        // a transfer allocates is there in every round.
        Transfer(50);
        long[] allocated = [long.MaxValue, long.MaxValue, long.MaxValue];
        for (var round = 0; round < allocated.Length; round++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            var moved = Transfer(1000);
            allocated[round] = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.Equal(2 * 1000 * 8192, moved);
        }

        Assert.Equal(0, allocated.Min());
    }
}
