using System.Buffers;
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
    /// <summary>The version of the ram section that all of QEMU 7.2 to 11.1 send.</summary>
    public const uint Version = 4;

    private readonly PageInflater _inflater = new();
    private ReceivedPages? _pages;
    private RamBlock? _lastBlock;
    private bool _flushIsMark;
    private byte[]? _xbzrle;

    /// <summary>The page sizes of a 16-byte ADVISE, ORed: the block list may carry page sizes. 0 without one.</summary>
    public ulong AdvisedPageSizes { get; set; }

    /// <summary>Device sections that came before START, as they came.</summary>
    public ReadOnlyMemory<byte> EarlySections { get; set; }

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
            switch (record.Kind)
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
        for (long wanted = RamRecordHeader.MinSize; ; wanted = stream.Buffered + 1)
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

        if (IsPage(header))
        {
            CheckPage(header, source);
        }

        record = new Record(header.Kind, header.Offset);
        stream.Advance(consumed);
        return true;
    }

    private static bool IsPage(RamRecordHeader header) =>
        header.Kind is RamFlags.Page or RamFlags.Zero or RamFlags.Xbzrle or RamFlags.CompressedPage;

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
                throw ChannelException.Violation(stream.Channel, $"unknown RAM block {WireName.Quote(name)}, at offset {stream.Position}");
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
        while (stream.Buffered >= RamRecordHeader.MinSize)
        {
            var source = stream.Peek(RamRecordHeader.MaxSize);
            if (RamRecordHeader.Parse(source, out var header, out var consumed, out _) != OperationStatus.Done
                || header.Kind is not (RamFlags.Page or RamFlags.Zero))
            {
                return;
            }

            var isPage = header.Kind == RamFlags.Page;
            if (stream.Buffered < consumed + (isPage ? TargetPage.Size : ZeroPageFill.Size))
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
        switch (record.Kind)
        {
            case RamFlags.Page:
                await stream.RequireAsync(TargetPage.Size, "a page", cancellationToken).ConfigureAwait(false);
                PlacePage(pages, record.Offset);
                break;
            case RamFlags.Zero:
                await stream.RequireAsync(ZeroPageFill.Size, "a zero page", cancellationToken).ConfigureAwait(false);
                PlaceZero(pages, record.Offset);
                break;
            case RamFlags.Xbzrle:
                await ReadXbzrleAsync(pages, record.Offset, cancellationToken).ConfigureAwait(false);
                break;
            case RamFlags.CompressedPage:
                await ReadCompressedPageAsync(pages, record.Offset, cancellationToken).ConfigureAwait(false);
                break;
            default:
                throw new ChannelException(FailureReason.NotSupported, stream.Channel, $"RAM record {record.Kind} is not supported, before offset {stream.Position}");
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
        if (!ZeroPageFill.TryRead(stream.Peek(ZeroPageFill.Size), out var error))
        {
            throw stream.Malformed(error!);
        }

        stream.Advance(ZeroPageFill.Size);
        pages.PlaceZero(_lastBlock!, offset >> TargetPage.Shift);
        ZeroPages++;
    }

    private async ValueTask ReadXbzrleAsync(ReceivedPages pages, long offset, CancellationToken cancellationToken)
    {
        RefuseWithMultifd("XBZRLE");
        await stream.RequireAsync(XbzrleHeader.Size, "an XBZRLE page", cancellationToken).ConfigureAwait(false);
        if (!XbzrleHeader.TryRead(stream.Peek(XbzrleHeader.Size), out var header, out var error))
        {
            throw stream.Malformed(error!);
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
            throw stream.Malformed(error!);
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
        if (!RamBlockList.TryBegin(total, options.MaxRamBytes, out var list, out var error))
        {
            throw new ChannelException(FailureReason.LimitExceeded, stream.Channel, error!);
        }

        while (!list!.IsComplete)
        {
            if (!list.TryAdd(await ReadBlockAsync(list.RemainingBytes, cancellationToken).ConfigureAwait(false), out error))
            {
                throw stream.Malformed(error!);
            }
        }

        return await events.OnRamBlocksAsync(list.Entries, EarlySections, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask<RamBlockEntry> ReadBlockAsync(long remaining, CancellationToken cancellationToken)
    {
        var layout = new RamBlockEntryOptions(remaining, AdvisedPageSizes);
        for (long wanted = 1; ; wanted = stream.Buffered + 1)
        {
            await stream.RequireAsync(wanted, "the list of RAM blocks", cancellationToken).ConfigureAwait(false);
            switch (RamBlockEntry.Parse(stream.Peek(RamBlockEntry.MaxSize), layout, out var entry, out var consumed, out var error))
            {
                case OperationStatus.Done:
                    stream.Advance(consumed);
                    return entry;
                case OperationStatus.InvalidData:
                    throw stream.Malformed(error!);
            }
        }
    }

    private readonly record struct Record(RamFlags Kind, long Offset);
}
