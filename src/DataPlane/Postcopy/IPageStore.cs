namespace DataPlane.Postcopy;

/// <summary>Places whole host pages in guest memory. Any number of threads may place pages, but no two the same page.</summary>
internal interface IPageStore
{
    /// <summary>
    /// Places a copy of <paramref name="length"/> bytes. Returns false if a page was there already; that page stays as it is.
    /// </summary>
    bool Place(RamBlock block, long offset, nint source, long length);

    /// <summary>
    /// Makes <paramref name="length"/> bytes read as zero. Returns false if a page was there already; that page stays as it is.
    /// </summary>
    bool PlaceZeros(RamBlock block, long offset, long length);
}
