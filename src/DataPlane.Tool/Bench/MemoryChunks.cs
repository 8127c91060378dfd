namespace DataPlane.Tool.Bench;

/// <summary>
/// Cuts a block into chunks and works on them on all cores: filling, clearing and hashing are bound by memory, not by one core.
/// </summary>
internal static class MemoryChunks
{
    /// <summary>
    /// The bytes of a chunk: large enough to amortise the hand-out, small enough to balance the load, and a multiple of the page size.
    /// </summary>
    public const int Size = 4 << 20;

    public static int Count(RamBlock block) => checked((int)((block.Length + Size - 1) / Size));

    public static Span<byte> Chunk(RamBlock block, int index)
    {
        var offset = (long)index * Size;
        return block.Span(offset, (int)Math.Min(Size, block.Length - offset));
    }

    public static void ForEach(RamBlock block, Action<int> work) => Parallel.For(0, Count(block), work);
}
