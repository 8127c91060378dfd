using System.Buffers;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Reads the bodies of the ram sections: START with the block list, PART and END with pages (specification, 2-main-stream section 2).
/// </summary>
/// <remarks>
/// The START section shows the sync mode: a FLUSH record between the block list and its EOS means that FLUSH records are the marks;
/// otherwise every EOS of the section is one (3-multifd section 3.3). The block of the last page is kept across sections.
/// </remarks>
internal sealed partial class RamSectionReader(StreamCursor stream, MainStreamOptions options, IMainStreamEvents events)
{
    /// <summary>The version of the ram section that QEMU 7.2 to 11.1 send.</summary>
    public const uint Version = 4;

    private ReceivedPages? _pages;
    private RamBlock? _lastBlock;
    private bool _flushIsMark;

    /// <summary>
    /// The page sizes of a 16-byte ADVISE, combined with OR; 0 without such an ADVISE. With one, the block list may carry page sizes.
    /// </summary>
    public ulong AdvisedPageSizes { get; set; }

    /// <summary>The device sections that came before START, as received.</summary>
    public ReadOnlyMemory<byte> EarlySections { get; set; }

    public long NormalPages { get; private set; }

    public long ZeroPages { get; private set; }

    /// <summary>Whether the block list has been read.</summary>
    public bool Started => _pages is not null;

    /// <summary>The memory of the listed blocks; null until the list has been read.</summary>
    public GuestMemory? Memory => _pages?.Memory;

    /// <summary>Reads one body including its EOS record.</summary>
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
        // QEMU 8.1.0 also sends FLUSH without multifd, where it means nothing.
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
            throw ChannelException.Violation(
                stream.Channel, $"a FLUSH mark from a source that syncs at every section, at offset {stream.Position}");
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

    /// <summary>Reads a record header, selects the block that it names, and leaves the stream at the payload of the record.</summary>
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

    private readonly record struct Record(RamFlags Kind, long Offset);
}
