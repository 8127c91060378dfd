using System.Buffers;
using DataPlane.Wire;

namespace DataPlane.Postcopy;

/// <summary>Writes the commands that turn a precopy stream into postcopy (specification, 4-postcopy section 4.1).</summary>
internal static class PostcopyCommands
{
    /// <summary>
    /// Writes ADVISE, which announces that postcopy may come. Its place is after OPEN_RETURN_PATH and before the list of RAM blocks.
    /// </summary>
    public static void WriteAdvise(IBufferWriter<byte> output, HostPages hostPages) =>
        output.Advance(CommandWriter.WritePostcopyAdvise(output.GetSpan(CommandWriter.MaxSize), new PostcopyAdvise(hostPages.Summary)));

    /// <summary>
    /// Writes DISCARD commands for every page that is still to be sent, at least for one. A QEMU that gets a package without any DISCARD
    /// before it hangs for ever (specification, 4-postcopy section 4.1.6), so if nothing is left, the first host page is sent again.
    /// </summary>
    /// <param name="output">The main channel.</param>
    /// <param name="unsent">The pages to send, as whole host pages. The set is never empty afterwards.</param>
    /// <param name="hostPages">The sizes of the destination's host pages.</param>
    public static void WriteDiscards(IBufferWriter<byte> output, GuestPageSet unsent, HostPages hostPages)
    {
        var blocks = unsent.Memory.Blocks;
        if (unsent.CountSet() == 0)
        {
            unsent[blocks[0]].SetRange(0, hostPages.PagesOf(blocks[0]));
        }

        WriteRanges(output, unsent);
    }

    /// <summary>
    /// Writes DISCARD commands for <paramref name="pages"/>, which may be empty, before or after those of <see cref="WriteDiscards"/>.
    /// </summary>
    /// <param name="output">The main channel.</param>
    /// <param name="pages">The pages to discard, as whole host pages.</param>
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
    /// Writes the device state as a package, which the destination loads as a whole before it starts the guest. Returns the number of bytes
    /// written.
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
    /// Writes the questions which pages of every block have arrived. After a lost link these are the first bytes on the new main channel
    /// (specification, 4-postcopy section 4.6.2).
    /// </summary>
    public static void WriteBitmapQuestions(IBufferWriter<byte> output, GuestMemory memory)
    {
        foreach (var block in memory.Blocks)
        {
            output.Advance(CommandWriter.WriteReceivedBitmap(output.GetSpan(CommandWriter.MaxSize), block.Utf8Name));
        }
    }

    /// <summary>Writes RESUME, after which pages are sent on the new link.</summary>
    public static void WriteResume(IBufferWriter<byte> output) =>
        output.Advance(CommandWriter.WriteResume(output.GetSpan(CommandWriter.MaxSize)));

    private static void WriteDiscard(IBufferWriter<byte> output, RamBlock block, ReadOnlySpan<ByteRange> ranges, ref int count)
    {
        output.Advance(CommandWriter.WriteDiscard(output.GetSpan(CommandWriter.MaxSize), block.Utf8Name, ranges[..count]));
        count = 0;
    }
}
