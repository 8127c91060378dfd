namespace DataPlane.Postcopy;

/// <summary>Writes pages into the memory of a guest that does not run here.</summary>
internal sealed class DirectPageStore(ReceivedPages pages) : IPageStore
{
    public unsafe bool Place(RamBlock block, long offset, nint source, long length)
    {
        // SAFETY: the caller vouches for the source, and Span checks the destination.
        new ReadOnlySpan<byte>((void*)source, (int)length).CopyTo(block.Span(offset, (int)length));
        return true;
    }

    public bool PlaceZeros(RamBlock block, long offset, long length)
    {
        for (var page = offset >> TargetPage.Shift; page < (offset + length) >> TargetPage.Shift; page++)
        {
            pages.PlaceZero(block, page);
        }

        return true;
    }

    /// <summary>Clears stale pages that were discarded and never came again, because such pages read as zero.</summary>
    public void ClearMissing()
    {
        foreach (var block in pages.Memory.BlockSpan)
        {
            for (long page = 0; pages.HoldingData(block).TryFindSetRun(page, 1, out page, out _); page++)
            {
                if (!pages.Received(block)[page])
                {
                    ReceivedPages.Page(block, page).Clear();
                    pages.RecordDropped(block, page, 1);
                }
            }
        }
    }
}
