namespace DataPlane;

/// <summary>
/// Tracks dirty pages that the writers themselves record: for guests that know what they write, and for kernels that do not support
/// <see cref="PagemapDirtyTracker"/>.
/// </summary>
/// <remarks>
/// <para>The order matters: write first, then mark. <see cref="Collect"/> takes each mark away in one step before the page is read and
/// sent. A mark that follows its write is therefore either taken before the page is read, so that the new bytes are sent, or it stays for
/// the next call. A mark that precedes its write could be taken and the old bytes sent; the write would then be lost.</para>
/// <para>Between a write and its mark the page may be sent torn; because of the mark it is then sent again. Before the last
/// <see cref="Collect"/> every writer must have marked its writes: pause a writer after a mark, not between a write and its mark.</para>
/// </remarks>
public sealed class RecordedDirtyTracker : IDirtyTracker
{
    private readonly GuestPageSet _written;
    private bool _tracking;

    /// <summary>
    /// Creates a tracker that has not started. <see cref="MarkWritten"/> may be called already, but <see cref="Start"/> discards its marks.
    /// </summary>
    public RecordedDirtyTracker(GuestMemory memory) => _written = new GuestPageSet(memory);

    /// <summary>
    /// Records that pages were written. Call it after the bytes are in memory; it orders them before the mark. Thread-safe, lock-free,
    /// allocates nothing. Costs the same whether tracking is on or not.
    /// </summary>
    /// <exception cref="ArgumentException">The block belongs to another guest, or the pages are not inside it.</exception>
    public void MarkWritten(RamBlock block, long firstPage, long count) => _written[block].SetRangeAtomic(firstPage, count);

    /// <inheritdoc/>
    public void Start()
    {
        if (_tracking)
        {
            throw new InvalidOperationException("Dirty tracking has started already.");
        }
        // Everything marked so far was written before this call returned, so it need not be reported.
        foreach (var block in _written.Memory.BlockSpan)
        {
            _written[block].ClearRangeAtomic(0, block.PageCount);
        }

        _tracking = true;
    }

    /// <inheritdoc/>
    public long Collect(GuestPageSet dirty)
    {
        ArgumentNullException.ThrowIfNull(dirty);
        if (!_tracking)
        {
            throw new InvalidOperationException("Dirty tracking has not started.");
        }

        long pages = 0;
        foreach (var block in _written.Memory.BlockSpan)
        {
            pages += _written[block].TakeAtomic(dirty[block]);
        }

        return pages;
    }

    /// <inheritdoc/>
    public void Stop() => _tracking = false;

    /// <inheritdoc/>
    public void Dispose() => Stop();
}
