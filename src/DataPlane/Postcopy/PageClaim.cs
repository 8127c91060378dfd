using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <summary>
/// Pages of one block that one sender has taken and nobody else will send: some runs of small pages, or one huge page. Reused by its
/// sender.
/// </summary>
internal sealed class PageClaim
{
    /// <summary>
    /// Target pages at most, where host pages are as small: a page that is asked for while it stands in the background's claim waits for
    /// all of it.
    /// </summary>
    public const int Capacity = 32;

    private readonly PageRun[] _runs = new PageRun[Capacity];
    private int _count;

    public long PageCount { get; private set; }

    public long Free => Capacity - PageCount;

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
