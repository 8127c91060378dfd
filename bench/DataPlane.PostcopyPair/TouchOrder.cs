namespace DataPlane.PostcopyPair;

/// <summary>Every page of a guest once, each far from the one before.</summary>
internal static class TouchOrder
{
    /// <param name="bytes">The guest's memory; a power of two of pages.</param>
    /// <param name="pageBytes">Size of a page.</param>
    /// <returns>Offsets.</returns>
    public static IEnumerable<long> Of(long bytes, long pageBytes)
    {
        var pages = bytes / pageBytes;
        // About the golden ratio, and odd: so every page comes once.
        var step = (long)(pages * 0.6180339887) | 1;
        for (long i = 0; i < pages; i++)
        {
            yield return (i * step & (pages - 1)) * pageBytes;
        }
    }
}
