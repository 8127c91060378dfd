using DataPlane.Memory;

namespace DataPlane;

/// <summary>
/// Records what has arrived of one guest's memory: which pages came at all, and which of them hold data rather than zeros.
/// </summary>
/// <remarks>
/// <para>Several receivers (the main channel and every multifd channel) record pages concurrently. Between two multifd syncs no page is
/// written by two of them (specification, 3-multifd section 7), so bits are updated atomically and contents need no lock.</para>
/// <para>A zero page is written only where that is needed: memory that is known to be fresh and was never filled stays untouched, and
/// therefore unpopulated.</para>
/// </remarks>
public sealed class ReceivedPages
{
    private readonly GuestPageSet _received;
    private readonly GuestPageSet _holdingData;

    /// <summary>Creates an empty record for <paramref name="memory"/>.</summary>
    internal ReceivedPages(GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        Memory = memory;
        _received = new GuestPageSet(memory);
        _holdingData = new GuestPageSet(memory);
    }

    /// <summary>The memory that is being filled.</summary>
    public GuestMemory Memory { get; }

    /// <summary>Pages of <paramref name="block"/> that arrived at least once, as data or as zeros.</summary>
    public PageBitmap Received(RamBlock block) => _received[block];

    /// <summary>Pages of <paramref name="block"/> whose last arrival was data; all others read as zero.</summary>
    public PageBitmap HoldingData(RamBlock block) => _holdingData[block];

    /// <summary>Number of different pages that arrived, in all blocks.</summary>
    public long Count() => _received.CountSet();

    /// <summary>Records that <paramref name="pageCount"/> pages from <paramref name="firstPage"/> on have been filled with data.</summary>
    internal void RecordData(RamBlock block, long firstPage, long pageCount)
    {
        _received[block].SetRangeAtomic(firstPage, pageCount);
        _holdingData[block].SetRangeAtomic(firstPage, pageCount);
    }

    /// <summary>Makes one page read as zero, and touches it only if it might hold something else.</summary>
    internal void PlaceZero(RamBlock block, long page)
    {
        var holdingData = _holdingData[block];
        if (holdingData[page])
        {
            Page(block, page).Clear();
            holdingData.ClearRangeAtomic(page, 1);
        }
        else if (!block.StartsZeroed && !_received[block][page])
        {
            ClearUnlessZero(Page(block, page));
        }

        _received[block].SetRangeAtomic(page, 1);
    }

    /// <summary>
    /// Records that the source will send pages again, because they are stale or missing here. The memory is left as it is.
    /// </summary>
    internal void Forget(RamBlock block, long firstPage, long pageCount) => _received[block].ClearRangeAtomic(firstPage, pageCount);

    /// <summary>Records that pages have lost their contents and read as zero.</summary>
    internal void RecordDropped(RamBlock block, long firstPage, long pageCount) =>
        _holdingData[block].ClearRangeAtomic(firstPage, pageCount);

    /// <summary>Records that pages which already read as zero have arrived as zero pages.</summary>
    internal void RecordZeros(RamBlock block, long firstPage, long pageCount) => _received[block].SetRangeAtomic(firstPage, pageCount);

    /// <summary>Returns the bytes of one page, for a receiver to write.</summary>
    internal static Span<byte> Page(RamBlock block, long page) => block.Span(page << TargetPage.Shift, TargetPage.Size);

    private static void ClearUnlessZero(Span<byte> page)
    {
        if (!ZeroPage.IsZero(page))
        {
            page.Clear();
        }
    }
}
