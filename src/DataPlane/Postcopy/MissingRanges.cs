namespace DataPlane.Postcopy;

/// <summary>The ranges of guest memory that have not been received, in whole host pages.</summary>
/// <param name="pages">The record of the pages that have arrived.</param>
/// <param name="ledger">Knows how many pages a host page has.</param>
internal sealed class MissingRanges(ReceivedPages pages, PageLedger ledger)
{
    /// <summary>
    /// Calls <paramref name="action"/> with offset and length, in bytes, of each range of host pages that have not been received.
    /// </summary>
    public void ForEach(RamBlock block, Action<long, long> action)
    {
        var received = pages.Received(block);
        var unit = ledger.PagesPerHostPage(block);
        long from = 0;
        while (from < block.PageCount)
        {
            if (!received.TryFindSetRun(from, block.PageCount, out var next, out var count))
            {
                next = block.PageCount;
            }

            // A host page that has come in part (zero pages before the switch) counts as received: the rest of it never had contents.
            var begin = (from + unit - 1) & -unit;
            var end = next == block.PageCount ? next : next & -unit;
            if (end > begin)
            {
                action(begin << TargetPage.Shift, (end - begin) << TargetPage.Shift);
            }

            from = next == block.PageCount ? next : next + count;
        }
    }
}
