namespace DataPlane.Tool.Bench;

/// <summary>
/// An order that visits every page of a window once per lap and looks random to caches and prefetchers. It needs no table: every step is a
/// constant that shares no factor with the window.
/// </summary>
internal struct PageOrder
{
    private readonly long _pages;
    private readonly long _step;
    private readonly long _inverse;
    private long _next;

    public PageOrder(long pages)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(pages);
        _pages = pages;
        // The step is about the golden ratio of the window, so that consecutive visits are far apart.
        var step = Math.Max(1, (long)(pages * 0.6180339887));
        while (GreatestCommonDivisor(step, pages) != 1)
        {
            step++;
        }

        _step = step;
        _inverse = InverseOf(step, pages);
    }

    /// <summary>The position of a page in each lap, from 0.</summary>
    public readonly long PositionOf(long page) => (long)((Int128)page * _inverse % _pages);

    public long Next()
    {
        var page = _next;
        _next = (_next + _step) % _pages;
        return page;
    }

    /// <summary>
    /// The modular inverse: what <paramref name="step"/> has to be multiplied by to give 1, modulo <paramref name="pages"/>.
    /// </summary>
    private static long InverseOf(long step, long pages)
    {
        (var remainder, var next) = (pages, step % pages);
        (long inverse, long nextInverse) = (0, 1);
        while (next != 0)
        {
            var quotient = remainder / next;
            (remainder, next) = (next, remainder - (quotient * next));
            (inverse, nextInverse) = (nextInverse, inverse - (quotient * nextInverse));
        }

        return (inverse + pages) % pages;
    }

    private static long GreatestCommonDivisor(long a, long b)
    {
        while (b != 0)
        {
            (a, b) = (b, a % b);
        }

        return a;
    }
}
