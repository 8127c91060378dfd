using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <summary>
/// Pages of one block that one sender has claimed, so that nobody else sends them: some runs of small pages, or one huge page. The sender
/// reuses it.
/// </summary>
internal sealed class PageClaim
{
    /// <summary>
    /// The most target pages in a claim, for blocks with 4 KiB host pages. It is small because a page that is requested while the
    /// background has claimed it waits for the whole claim.
    /// </summary>
    public const int Capacity = 32;

    private readonly PageRun[] _runs = new PageRun[Capacity];
    private int _count;

    /// <summary>The number of claimed target pages.</summary>
    public long PageCount { get; private set; }

    /// <summary>The number of target pages that may still be added; zero or less if the claim is full.</summary>
    public long Free => Capacity - PageCount;

    /// <summary>The claimed runs of pages.</summary>
    public ReadOnlySpan<PageRun> Runs => _runs.AsSpan(0, _count);

    public void Add(PageRun run)
    {
        _runs[_count++] = run;
        PageCount += run.PageCount;
    }

    public void Clear()
    {
        _count = 0;
        PageCount = 0;
    }
}
