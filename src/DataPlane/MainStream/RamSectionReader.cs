using System.Buffers;
using System.Text;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Reads the bodies of the "ram" sections: START with the block list, PART and END with pages (specification, 2-main-stream section 2).
/// </summary>
/// <remarks>
/// The sync mode is told from the START section: a FLUSH record between the block list and its EOS means that FLUSH records are the marks, else every EOS of
/// the section is one (3-multifd section 3.3). The block of the last page is kept across sections.
/// </remarks>
internal sealed class RamSectionReader(StreamCursor stream, MainStreamOptions options, IMainStreamEvents events)
{
    private readonly PageInflater _inflater = new();
    private ReceivedPages? _pages;
    private RamBlock? _lastBlock;
    private bool _flushIsMark;
    private byte[]? _xbzrle;

    /// <summary>ADVISE with 16 bytes was read: the block list may carry page sizes.</summary>
    public bool PostcopyAdvised { get; set; }

    public long NormalPages { get; private set; }

    public long ZeroPages { get; private set; }

    /// <summary>The block list has been read.</summary>
    public bool Started => _pages is not null;

    /// <summary>Reads one body up to and with its EOS record.</summary>
    public async ValueTask ReadBodyAsync(bool start, CancellationToken cancellationToken)
    {
        while (true)
        {
            if (_pages is { } pages)
            {
                PlaceBufferedPages(pages);
            }

            var record = await ReadHeaderAsync(cancellationToken).ConfigureAwait(false);
            switch (record.Flags & ~RamFlags.Continue)
            {
                case RamFlags.MemorySize when start && _pages is null:
                    _pages = await ReadBlockListAsync(record.Offset, cancellationToken).ConfigureAwait(false);
                    break;
                case RamFlags.MemorySize:
                    throw stream.Malformed("a second list of RAM blocks");
                case RamFlags.MultifdFlush:
                    await OnFlushAsync(start).ConfigureAwait(false);
                    break;
                case RamFlags.EndOfSection:
                    await OnEndOfSectionAsync().ConfigureAwait(false);
                    return;
                default:
                    await ReadPageAsync(record, cancellationToken).ConfigureAwait(false);
                    break;
            }
        }
    }

    private async Task OnFlushAsync(bool start)
    {
        // Sources of 8.1.0 send FLUSH also without multifd; there it means nothing.
        if (!options.Multifd)
        {
            return;
        }

        if (_pages is null)
        {
            throw stream.Malformed("a sync mark before the list of RAM blocks");
        }

        if (start)
        {
            _flushIsMark = true;
        }
        else if (!_flushIsMark)
        {
            throw ChannelException.Violation(stream.Channel, $"a FLUSH mark from a source that syncs at every section, at offset {stream.Position}");
        }

        await events.OnSyncMarkAsync().ConfigureAwait(false);
    }

    private async Task OnEndOfSectionAsync()
    {
        if (_pages is null)
        {
            throw stream.Malformed("the ram section has no list of RAM blocks");
        }

        if (options.Multifd && !_flushIsMark)
        {
            await events.OnSyncMarkAsync().ConfigureAwait(false);
        }
    }

    /// <summary>Reads a record header, sets the block it names, and leaves the stream at the record's payload.</summary>
    private async ValueTask<Record> ReadHeaderAsync(CancellationToken cancellationToken)
    {
        for (long wanted = RamRecordHeader.WordSize; ; wanted = stream.Buffered + 1)
        {
            await stream.RequireAsync(wanted, "a RAM record", cancellationToken).ConfigureAwait(false);
            if (TryReadHeader(out var record))
            {
                return record;
            }
        }
    }

    private bool TryReadHeader(out Record record)
    {
        record = default;
        var source = stream.Peek(RamRecordHeader.MaxSize);
        switch (RamRecordHeader.Parse(source, out var header, out var consumed, out var error))
        {
            case OperationStatus.NeedMoreData:
                return false;
            case OperationStatus.InvalidData:
                throw stream.Malformed(error!);
        }

        if (header.IsPage)
        {
            CheckPage(header, source);
        }

        record = new Record(header.Flags, header.Offset);
        stream.Advance(consumed);
        return true;
    }

    private void CheckPage(RamRecordHeader header, ReadOnlySpan<byte> source)
    {
        if (_pages is null)
        {
            throw stream.Malformed("a page before the list of RAM blocks");
        }

        if (header.HasName)
        {
            var name = header.Name(source);
            if (!_pages.Memory.TryGetBlock(name, out var block))
            {
                throw ChannelException.Violation(stream.Channel, $"unknown RAM block '{Encoding.UTF8.GetString(name)}', at offset {stream.Position}");
            }

            _lastBlock = block;
        }
        else if (_lastBlock is null)
        {
            throw stream.Malformed("a page that continues a block before any block was named");
        }

        if (header.Offset > _lastBlock.Length - TargetPage.Size)
        {
            throw ChannelException.Violation(
                stream.Channel,
                $"page 0x{header.Offset:x} lies outside of block '{_lastBlock.Name}' (0x{_lastBlock.Length:x} bytes), at offset {stream.Position}");
        }
    }

    /// <summary>The fast path: places every PAGE and ZERO record that is buffered as a whole, without waiting.</summary>
    private void PlaceBufferedPages(ReceivedPages pages)
    {
        while (stream.Buffered >= RamRecordHeader.WordSize)
        {
            var source = stream.Peek(RamRecordHeader.MaxSize);
            if (RamRecordHeader.Parse(source, out var header, out var consumed, out _) != OperationStatus.Done
                || (header.Flags & (RamFlags.Page | RamFlags.Zero)) == 0)
            {
                return;
            }

            var isPage = (header.Flags & RamFlags.Page) != 0;
            if (stream.Buffered < consumed + (isPage ? TargetPage.Size : 1))
            {
                return;
            }

            CheckPage(header, source);
            stream.Advance(consumed);
            if (isPage)
            {
                PlacePage(pages, header.Offset);
            }
            else
            {
                PlaceZero(pages, header.Offset);
            }
        }
    }

    private async ValueTask ReadPageAsync(Record record, CancellationToken cancellationToken)
    {
        var pages = _pages!;
        switch (record.Flags & ~RamFlags.Continue)
        {
            case RamFlags.Page:
                await stream.RequireAsync(TargetPage.Size, "a page", cancellationToken).ConfigureAwait(false);
                PlacePage(pages, record.Offset);
                break;
            case RamFlags.Zero:
                await stream.RequireAsync(1, "a zero page", cancellationToken).ConfigureAwait(false);
                PlaceZero(pages, record.Offset);
                break;
            case RamFlags.Xbzrle:
                await ReadXbzrleAsync(pages, record.Offset, cancellationToken).ConfigureAwait(false);
                break;
            case RamFlags.CompressedPage:
                await ReadCompressedPageAsync(pages, record.Offset, cancellationToken).ConfigureAwait(false);
                break;
            default:
                throw new ChannelException(FailureReason.NotSupported, stream.Channel, $"RAM record {record.Flags} is not supported, before offset {stream.Position}");
        }
    }

    private void PlacePage(ReceivedPages pages, long offset)
    {
        stream.CopyTo(_lastBlock!.Span(offset, TargetPage.Size));
        pages.RecordData(_lastBlock, offset >> TargetPage.Shift, 1);
        NormalPages++;
    }

    private void PlaceZero(ReceivedPages pages, long offset)
    {
        if (stream.PeekByte() != 0)
        {
            throw stream.Malformed($"a zero page with fill byte {stream.PeekByte()}");
        }

        stream.Advance(1);
        pages.PlaceZero(_lastBlock!, offset >> TargetPage.Shift);
        ZeroPages++;
    }

    private async ValueTask ReadXbzrleAsync(ReceivedPages pages, long offset, CancellationToken cancellationToken)
    {
        RefuseWithMultifd("XBZRLE");
        await stream.RequireAsync(XbzrleHeader.Size, "an XBZRLE page", cancellationToken).ConfigureAwait(false);
        if (!XbzrleHeader.TryRead(stream.Peek(XbzrleHeader.Size), out var header, out var error))
        {
            throw stream.Malformed(error);
        }

        stream.Advance(XbzrleHeader.Size);
        await stream.RequireAsync(header.Length, "an XBZRLE page", cancellationToken).ConfigureAwait(false);
        var delta = (_xbzrle ??= new byte[TargetPage.Size]).AsSpan(0, header.Length);
        stream.CopyTo(delta);
        if (!Xbzrle.TryApply(delta, _lastBlock!.Span(offset, TargetPage.Size), out error))
        {
            throw stream.Malformed($"page 0x{offset:x} of block '{_lastBlock!.Name}': {error}");
        }

        pages.RecordData(_lastBlock!, offset >> TargetPage.Shift, 1);
        NormalPages++;
    }

    private async ValueTask ReadCompressedPageAsync(ReceivedPages pages, long offset, CancellationToken cancellationToken)
    {
        RefuseWithMultifd("compressed page");
        await stream.RequireAsync(CompressedPageHeader.Size, "a compressed page", cancellationToken).ConfigureAwait(false);
        if (!CompressedPageHeader.TryRead(stream.Peek(CompressedPageHeader.Size), out var header, out var error))
        {
            throw stream.Malformed(error);
        }

        stream.Advance(CompressedPageHeader.Size);
        await stream.RequireAsync(header.Length, "a compressed page", cancellationToken).ConfigureAwait(false);
        stream.CopyTo(_inflater.Input(header.Length));
        if (!_inflater.TryInflate(_lastBlock!.Span(offset, TargetPage.Size)))
        {
            throw stream.Malformed($"page 0x{offset:x} of block '{_lastBlock!.Name}' does not decompress to one page");
        }

        pages.RecordData(_lastBlock!, offset >> TargetPage.Shift, 1);
        NormalPages++;
    }

    private void RefuseWithMultifd(string what)
    {
        if (options.Multifd)
        {
            throw ChannelException.Violation(stream.Channel, $"an {what} record in a migration with multifd, before offset {stream.Position}");
        }
    }

    private async ValueTask<ReceivedPages> ReadBlockListAsync(long total, CancellationToken cancellationToken)
    {
        if (total > options.MaxRamBytes)
        {
            throw new ChannelException(
                FailureReason.LimitExceeded,
                stream.Channel,
                $"the source announces {total} bytes of RAM, more than the limit of {options.MaxRamBytes} bytes");
        }

        var blocks = new List<RamBlockEntry>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (var left = total; left > 0;)
        {
            var entry = await ReadBlockAsync(left, cancellationToken).ConfigureAwait(false);
            if (blocks.Count == options.MaxBlocks)
            {
                throw new ChannelException(FailureReason.LimitExceeded, stream.Channel, $"the source announces more than {options.MaxBlocks} RAM blocks");
            }

            if (!names.Add(entry.Name))
            {
                throw stream.Malformed($"RAM block '{entry.Name}' is announced twice");
            }

            blocks.Add(entry);
            left -= entry.Length;
        }

        return await events.OnRamBlocksAsync(blocks, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask<RamBlockEntry> ReadBlockAsync(long left, CancellationToken cancellationToken)
    {
        for (long wanted = 1; ; wanted = stream.Buffered + 1)
        {
            await stream.RequireAsync(wanted, "the list of RAM blocks", cancellationToken).ConfigureAwait(false);
            switch (RamBlockEntry.Parse(stream.Peek(RamBlockEntry.MaxSize), left, PostcopyAdvised, out var entry, out var consumed, out var error))
            {
                case OperationStatus.Done:
                    stream.Advance(consumed);
                    return entry;
                case OperationStatus.InvalidData:
                    throw stream.Malformed(error!);
            }
        }
    }

    private readonly record struct Record(RamFlags Flags, long Offset);
}
