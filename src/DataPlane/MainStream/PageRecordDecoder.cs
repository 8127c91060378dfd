using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Reads the heads of RAM records (specification, 2-main-stream section 2), on main before and after the switch to postcopy and on the
/// preempt channel. It checks every page against its block. The block of the last page is kept, because a page with CONTINUE names none.
/// </summary>
/// <param name="stream">The channel, whose records follow one another.</param>
/// <param name="mayBeEncoded">Whether pages may also come as XBZRLE or compressed, which is so in precopy only.</param>
internal sealed class PageRecordDecoder(StreamCursor stream, bool mayBeEncoded)
{
    private RamBlock? _block;

    /// <summary>The memory that the pages belong to; null before the list of RAM blocks, when no page may come.</summary>
    public GuestMemory? Memory { get; set; }

    /// <summary>Waits for the head of a record, and leaves the stream at what follows it.</summary>
    /// <exception cref="Transport.ChannelException">
    /// The head is malformed, its page belongs to no block, or the stream ends.
    /// </exception>
    public PageRecord Read()
    {
        var header = stream.Parse<RamRecordHeader>(
            RamRecordHeader.Parse, RamRecordHeader.MinSize, RamRecordHeader.MaxSize, "a RAM record", out var size);
        if (IsPage(header.Kind))
        {
            Check(header, size);
        }

        stream.Advance(size);
        return new PageRecord(header.Kind, _block!, header.Offset);
    }

    private bool IsPage(RamFlags kind) => kind is RamFlags.Page or RamFlags.Zero
        || (mayBeEncoded && kind is (RamFlags.Xbzrle or RamFlags.CompressedPage));

    private void Check(RamRecordHeader header, int size)
    {
        if (Memory is not { } memory)
        {
            throw stream.Malformed("a page before the list of RAM blocks");
        }

        if (header.HasName)
        {
            var name = header.Name(stream.Peek(size));
            _block = memory.TryGetBlock(name, out var block)
                ? block
                : throw stream.Violation($"unknown RAM block {WireName.Quote(name)}");
        }
        else if (_block is null)
        {
            throw stream.Malformed("a page that continues a block before any block was named");
        }

        if (header.Offset > _block.Length - TargetPage.Size)
        {
            throw stream.Violation($"page 0x{header.Offset:x} lies outside of block '{_block.Name}' (0x{_block.Length:x} bytes)");
        }
    }
}
