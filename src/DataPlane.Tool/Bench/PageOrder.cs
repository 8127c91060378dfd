namespace DataPlane.Tool.Bench;

/// <summary>
/// Visits every page of a window once per lap in an order that looks random to caches and prefetchers, without a table: step by a
/// constant that shares no factor with the window.
/// </summary>
internal struct PageOrder
{
    private readonly long _pages;
    private readonly long _step;
    private long _next;

    public PageOrder(long pages)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(pages);
        _pages = pages;
        // About the golden ratio of the window: consecutive visits are far apart.
        long step = Math.Max(1, (long)(pages * 0.6180339887));
        while (GreatestCommonDivisor(step, pages) != 1)
            step++;
        _step = step;
    }

    public long Next()
    {
        long page = _next;
        _next = (_next + _step) % _pages;
        return page;
    }

    private static long GreatestCommonDivisor(long a, long b)
    {
        while (b != 0)
            (a, b) = (b, a % b);
        return a;
    }
}
