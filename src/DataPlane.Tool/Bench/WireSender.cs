using System.Net.Sockets;
using DataPlane.Linux;

namespace DataPlane.Tool.Bench;

/// <summary>The sending half of the wire connections, each with a thread. See <see cref="WireVariant"/> for what is sent.</summary>
internal sealed class WireSender(RamBlock block)
{
    /// <summary>The value sent in place of an offset when nothing follows on the connection.</summary>
    public const long EndOfChunks = -1;

    private long _cursor;

    /// <summary>
    /// Sends part <paramref name="index"/> of <paramref name="count"/>, or the chunks that the other connections have not taken.
    /// </summary>
    public void Send(WireVariant variant, SafeSocketHandle socket, int index, int count)
    {
        if (variant == WireVariant.Partition)
        {
            SendPartition(socket, index, count);
        }
        else
        {
            SendChunks(socket);
        }
    }

    private unsafe void SendPartition(SafeSocketHandle socket, int index, int count)
    {
        (var start, var length) = WirePartition.Of(block, index, count);
        var range = stackalloc long[] { start, length };
        WireSocket.SendAll(socket, [new IoVec((nint)range, 2 * sizeof(long))]);
        Span<IoVec> vector = stackalloc IoVec[1];
        for (long done = 0; done < length; done += WireSocket.ChunkBytes)
        {
            vector[0] = Chunk(start + done, length - done);
            WireSocket.SendAll(socket, vector);
        }
    }

    private unsafe void SendChunks(SafeSocketHandle socket)
    {
        long offset;
        Span<IoVec> vectors = stackalloc IoVec[2];
        while ((offset = Interlocked.Add(ref _cursor, WireSocket.ChunkBytes) - WireSocket.ChunkBytes) < block.Length)
        {
            vectors[0] = new IoVec((nint)(&offset), sizeof(long));
            vectors[1] = Chunk(offset, block.Length - offset);
            WireSocket.SendAll(socket, vectors);
        }

        offset = EndOfChunks;
        WireSocket.SendAll(socket, [new IoVec((nint)(&offset), sizeof(long))]);
    }

    private IoVec Chunk(long offset, long rest) => new(block.Address + (nint)offset, (nuint)Math.Min(WireSocket.ChunkBytes, rest));
}

/// <summary>How the partition variant divides a block: in whole pages, as evenly as possible.</summary>
internal static class WirePartition
{
    public static (long Start, long Length) Of(RamBlock block, int index, int count)
    {
        var first = block.PageCount * index / count;
        var end = block.PageCount * (index + 1) / count;
        return (first << TargetPage.Shift, (end - first) << TargetPage.Shift);
    }
}
