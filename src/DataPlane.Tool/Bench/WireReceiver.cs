using System.Net.Sockets;
using DataPlane.Linux;

namespace DataPlane.Tool.Bench;

/// <summary>
/// The receiving half of the wire connections, each with a thread. Ranges from the wire are checked before a byte is written.
/// </summary>
internal sealed class WireReceiver(RamBlock block)
{
    private long _bytes;

    /// <summary>Bytes of memory that all connections have received.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    public void Receive(WireVariant variant, SafeSocketHandle socket)
    {
        if (variant == WireVariant.Partition)
        {
            ReceivePartition(socket);
        }
        else
        {
            ReceiveChunks(socket);
        }
    }

    private unsafe void ReceivePartition(SafeSocketHandle socket)
    {
        var range = stackalloc long[2];
        WireSocket.ReceiveAll(socket, [new IoVec((nint)range, 2 * sizeof(long))]);
        (var start, var length) = (range[0], range[1]);
        if (start < 0 || length < 0 || start > block.Length || length > block.Length - start)
        {
            throw new IOException($"wire connection: {length} bytes at {start} are not inside {block.Length}");
        }

        Span<IoVec> vector = stackalloc IoVec[1];
        for (long done = 0; done < length; done += WireSocket.ChunkBytes)
        {
            vector[0] = Chunk(start + done, length - done);
            var received = vector[0].Length; // ReceiveAll counts the vector's length down
            WireSocket.ReceiveAll(socket, vector);
            Interlocked.Add(ref _bytes, (long)received);
        }
    }

    private unsafe void ReceiveChunks(SafeSocketHandle socket)
    {
        long offset;
        Span<IoVec> vectors = stackalloc IoVec[2];
        WireSocket.ReceiveAll(socket, [new IoVec((nint)(&offset), sizeof(long))]);
        while (offset != WireSender.EndOfChunks)
        {
            if (offset < 0 || offset >= block.Length)
            {
                throw new IOException($"wire connection: a chunk at {offset} is not inside {block.Length}");
            }
            // The next offset comes with the chunk, so that one call receives both.
            var chunk = Chunk(offset, block.Length - offset);
            vectors[0] = chunk;
            vectors[1] = new IoVec((nint)(&offset), sizeof(long));
            WireSocket.ReceiveAll(socket, vectors);
            Interlocked.Add(ref _bytes, (long)chunk.Length);
        }
    }

    private IoVec Chunk(long offset, long rest) => new(block.Address + (nint)offset, (nuint)Math.Min(WireSocket.ChunkBytes, rest));
}
