using Microsoft.Extensions.ObjectPool;

namespace DataPlane.Memory;

/// <summary>
/// Up to one packet of pages of one block, as runs of contiguous pages. A batch is reused, and belongs to one sender at a time.
/// </summary>
internal sealed class PageBatch : IResettable
{
    /// <summary>Largest number of pages in one batch, which is what a multifd packet holds (specification, 3-multifd section 2).</summary>
    public const int Capacity = 128;

    private readonly PageRun[] _runs = new PageRun[Capacity];
    private int _runCount;

    /// <summary>The pool of batches, from which each sender rents one for its lifetime.</summary>
    public static ObjectPool<PageBatch> Pool { get; } = new DefaultObjectPoolProvider { MaximumRetained = 64 }.Create<PageBatch>();

    public int PageCount { get; private set; }

    public int Free => Capacity - PageCount;

    public ReadOnlySpan<PageRun> Runs => _runs.AsSpan(0, _runCount);

    /// <summary>The block of all pages in the batch, which must not be empty.</summary>
    public RamBlock Block => _runs[0].Block;

    /// <summary>The pages of the block that are not zero if the host knows them, so that none has to be examined; otherwise null.</summary>
    public PageBitmap? HoldingData { get; set; }

    /// <summary>Whether a page of the batch is to be sent as a zero page.</summary>
    public unsafe bool IsZero(long page) =>
        HoldingData is { } data
            ? !data[page]
            // SAFETY: the batch holds only pages inside a mapped block; the guest may write a page meanwhile, which makes it dirty again.
            : ZeroPage.IsZero((byte*)Block.Address + (page << TargetPage.Shift));

    public void Add(PageRun run)
    {
        _runs[_runCount++] = run;
        PageCount += (int)run.PageCount;
    }

    public void Clear()
    {
        _runCount = 0;
        PageCount = 0;
    }

    /// <summary>Drops the references to guest memory, so that a pooled batch keeps none alive.</summary>
    public bool TryReset()
    {
        Clear();
        HoldingData = null;
        Array.Clear(_runs);
        return true;
    }
}
