using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Reads the bodies of the ram sections: START with the block list, PART and END with pages (specification, 2-main-stream section 2).
/// </summary>
/// <remarks>
/// The START section shows the sync mode: a FLUSH record between the block list and its EOS means that FLUSH records are the marks;
/// otherwise every EOS of the section is one (3-multifd section 3.3). The block of the last page is kept across sections.
/// </remarks>
internal sealed class RamSectionReader(StreamCursor stream, MainStreamOptions options, IMainStreamEvents events)
{
    /// <summary>The version of the ram section that QEMU 7.2 to 11.1 send.</summary>
    public const uint Version = 4;

    private readonly PageRecordDecoder _records = new(stream, mayBeEncoded: true);
    private PagePlacer? _pages;
    private bool _flushIsMark;

    public long NormalPages => _pages?.NormalPages ?? 0;

    public long ZeroPages => _pages?.ZeroPages ?? 0;

    /// <summary>The memory of the listed blocks; null until the list has been read.</summary>
    public GuestMemory? Memory => _records.Memory;

    /// <summary>Reads one body including its EOS record.</summary>
    /// <param name="start">What came before the START section; null for any other section.</param>
    public void ReadBody(RamStart? start = null)
    {
        while (true)
        {
            var record = _records.Read();
            switch (record.Kind)
            {
                case RamFlags.MemorySize when start is { } before && _pages is null:
                    Begin(new BlockListReader(stream, options, events).Read(record.Offset, before));
                    break;
                case RamFlags.MemorySize:
                    throw stream.Malformed("a second list of RAM blocks");
                case RamFlags.MultifdFlush:
                    OnFlush(start is not null);
                    break;
                case RamFlags.EndOfSection:
                    OnEndOfSection();
                    return;
                default:
                    _pages!.Place(record);
                    break;
            }
        }
    }

    private void Begin(ReceivedPages pages)
    {
        _pages = new PagePlacer(stream, pages, options.Multifd);
        _records.Memory = pages.Memory;
    }

    private void OnFlush(bool start)
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
            throw stream.Violation("a FLUSH mark from a source that syncs at every section");
        }

        Blocking.Wait(events.OnSyncMarkAsync());
    }

    private void OnEndOfSection()
    {
        if (_pages is null)
        {
            throw stream.Malformed("the ram section has no list of RAM blocks");
        }

        if (options.Multifd && !_flushIsMark)
        {
            Blocking.Wait(events.OnSyncMarkAsync());
        }
    }
}
