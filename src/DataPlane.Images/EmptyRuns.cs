namespace DataPlane.Images;

/// <summary>Enumerates the runs of pages that are not set in a bitmap.</summary>
internal static class EmptyRuns
{
    public static IEnumerable<(long First, long Count)> Of(PageBitmap bitmap)
    {
        long position = 0;
        while (bitmap.TryFindSetRun(position, bitmap.PageCount, out var first, out var count))
        {
            if (first > position)
            {
                yield return (position, first - position);
            }

            position = first + count;
        }

        if (position < bitmap.PageCount)
        {
            yield return (position, bitmap.PageCount - position);
        }
    }
}
