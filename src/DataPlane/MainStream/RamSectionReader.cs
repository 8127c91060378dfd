using System.Buffers;
using DataPlane.Memory;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Reads the bodies of the "ram" sections: START with the block list, PART and END with pages (specification, 2-main-stream section 2).
/// </summary>
/// <remarks>
/// The sync mode is told from the START section: a FLUSH record between the block list and its EOS means that FLUSH records are the marks,
/// else every EOS of
/// the section is one (3-multifd section 3.3). The block of the last page is kept across sections.
/// </remarks>
internal sealed partial class RamSectionReader(StreamCursor stream, MainStreamOptions options, IMainStreamEvents events)
{
    /// <summary>The version of the ram section that all of QEMU 7.2 to 11.1 send.</summary>
    public const uint Version = 4;

    private ReceivedPages? _pages;
    private RamBlock? _lastBlock;
    private bool _flushIsMark;

    /// <summary>The page sizes of a 16-byte ADVISE, ORed: the block list may carry page sizes. 0 without one.</summary>
    public ulong AdvisedPageSizes { get; set; }

    /// <summary>Device sections that came before START, as they came.</summary>
    public ReadOnlyMemory<byte> EarlySections { get; set; }

    public long NormalPages { get; private set; }

    public long ZeroPages { get; private set; }

    /// <summary>The block list has been read.</summary>
    public bool Started => _pages is not null;

    /// <summary>The memory of the listed blocks; null before.</summary>
    public GuestMemory? Memory => _pages?.Memory;

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

    private readonly record struct Record(RamFlags Kind, long Offset);
}
