using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <summary>Puts whole host pages in their place. Any number of threads, no two with the same page.</summary>
internal interface IPageStore
{
    /// <summary>Places a copy of <paramref name="length"/> bytes. False when a page was there already; it stays as it is.</summary>
    bool Place(RamBlock block, long offset, nint source, long length);

    /// <summary>Makes <paramref name="length"/> bytes read as zero. False when a page was there already; it stays as it is.</summary>
    bool PlaceZeros(RamBlock block, long offset, long length);
}
