using System.Buffers;
using DataPlane.Memory;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>Writes what turns a precopy stream into postcopy (specification, 4-postcopy section 4.1).</summary>
internal static class PostcopyCommands
{
    /// <summary>Postcopy may come. Behind OPEN_RETURN_PATH and before the list of blocks.</summary>
    public static void WriteAdvise(IBufferWriter<byte> output, HostPages hostPages) =>
        output.Advance(CommandWriter.WritePostcopyAdvise(output.GetSpan(CommandWriter.MaxSize), new PostcopyAdvise(hostPages.Summary)));

    /// <summary>
    /// Discards every page that is still to be sent. At least one: a QEMU that gets a package without any discard before it hangs for ever
    /// (4-postcopy section 4.1.6), so where nothing is left, the first page goes once more.
    /// </summary>
    /// <param name="output">The main channel.</param>
    /// <param name="unsent">Whole host pages, not empty afterwards.</param>
    /// <param name="hostPages">The destination's pages.</param>
    public static void WriteDiscards(IBufferWriter<byte> output, GuestPageSet unsent, HostPages hostPages)
    {
        var blocks = unsent.Memory.Blocks;
        if (unsent.CountSet() == 0)
        {
            unsent[blocks[0]].SetRange(0, hostPages.PagesOf(blocks[0]));
        }

        WriteRanges(output, unsent);
    }

    /// <summary>Discards pages, perhaps none, ahead of <see cref="WriteDiscards"/> or after it.</summary>
    /// <param name="output">The main channel.</param>
    /// <param name="pages">Whole host pages.</param>
    public static void WriteRanges(IBufferWriter<byte> output, GuestPageSet pages)
    {
        Span<ByteRange> ranges = stackalloc ByteRange[PostcopyDiscard.RangesPerCommand];
        foreach (var block in pages.Memory.Blocks)
        {
            var count = 0;
            for (long next = 0; pages[block].TryFindSetRun(next, long.MaxValue, out var first, out var length); next = first + length)
            {
                ranges[count++] = new ByteRange(first << TargetPage.Shift, length << TargetPage.Shift);
                if (count == ranges.Length)
                {
                    WriteDiscard(output, block, ranges, ref count);
                }
            }

            if (count > 0)
            {
                WriteDiscard(output, block, ranges, ref count);
            }
        }
    }

    /// <summary>
    /// The device state, framed so that the destination loads it as a whole and starts the guest. Returns the bytes written.
    /// </summary>
    public static int WritePackage(IBufferWriter<byte> output, ReadOnlySpan<byte> devices, bool preempt)
    {
        var length = PostcopyPackage.Overhead(preempt) + devices.Length;
        var written = CommandWriter.WritePackaged(output.GetSpan(CommandWriter.MaxSize), length);
        output.Advance(written);
        output.Advance(PostcopyPackage.WriteHead(output.GetSpan(CommandWriter.MaxSize)));
        output.Write(devices);
        output.Advance(PostcopyPackage.WriteTail(output.GetSpan(2 * CommandWriter.MaxSize), preempt));
        return written + length;
    }

    /// <summary>
    /// After a lost link: asks which pages of every block have arrived. The first bytes of the new main channel (4-postcopy section 4.6.2).
    /// </summary>
    public static void WriteBitmapQuestions(IBufferWriter<byte> output, GuestMemory memory)
    {
        foreach (var block in memory.Blocks)
        {
            output.Advance(CommandWriter.WriteReceivedBitmap(output.GetSpan(CommandWriter.MaxSize), block.Utf8Name));
        }
    }

    /// <summary>After a lost link: pages follow.</summary>
    public static void WriteResume(IBufferWriter<byte> output) =>
        output.Advance(CommandWriter.WriteResume(output.GetSpan(CommandWriter.MaxSize)));

    private static void WriteDiscard(IBufferWriter<byte> output, RamBlock block, ReadOnlySpan<ByteRange> ranges, ref int count)
    {
        output.Advance(CommandWriter.WriteDiscard(output.GetSpan(CommandWriter.MaxSize), block.Utf8Name, ranges[..count]));
        count = 0;
    }
}
