using DataPlane.Transport;
using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Postcopy;

/// <summary>Takes whole host pages from the readers of all channels, places them and then records them. Thread-safe.</summary>
internal sealed class PageArrivals(IPageStore store, PageLedger ledger, ILogger logger)
{
    private long _dataPages;
    private long _zeroPages;
    private long _askedPages;

    /// <summary>The number of target pages that came with their bytes.</summary>
    public long DataPages => Volatile.Read(ref _dataPages);

    /// <summary>The number of target pages that came as zero pages.</summary>
    public long ZeroPages => Volatile.Read(ref _zeroPages);

    /// <summary>The number of target pages that came while they were asked for.</summary>
    public long AskedPages => Volatile.Read(ref _askedPages);

    /// <summary>
    /// Whether a page may come twice. After a recovery a source may send a page again that arrived while the link broke; before, a repeated
    /// page is a violation.
    /// </summary>
    public bool RepeatsAllowed { get; set; }

    /// <summary>The record of the pages that are here and of those that are asked for.</summary>
    public PageLedger Ledger => ledger;

    /// <summary>The limit on the memory for host pages that come in pieces, over all channels together.</summary>
    public StagingBudget Staging { get; init; } = new(long.MaxValue);

    /// <summary>Whether the source is proven to have read PONG(0x42). The pages on the preempt channel are reported to it.</summary>
    public HandoverProof Proof { get; init; } = new();

    /// <summary>Places a host page that came with data.</summary>
    /// <exception cref="ChannelException">The page has come before, and <see cref="RepeatsAllowed"/> is false.</exception>
    public void Place(RamBlock block, long offset, nint source, long length, ChannelId channel) =>
        Record(block, offset, length, holdsData: true, IsNew(block, offset) && store.Place(block, offset, source, length), channel);

    /// <summary>Places a host page that came as zero pages only.</summary>
    /// <exception cref="ChannelException">The page has come before, and <see cref="RepeatsAllowed"/> is false.</exception>
    public void PlaceZeros(RamBlock block, long offset, long length, ChannelId channel) =>
        Record(block, offset, length, holdsData: false, IsNew(block, offset) && store.PlaceZeros(block, offset, length), channel);

    private bool IsNew(RamBlock block, long offset) => !ledger.IsReceived(block, offset >> TargetPage.Shift);

    private void Record(RamBlock block, long offset, long length, bool holdsData, bool placed, ChannelId channel)
    {
        var pages = length >> TargetPage.Shift;
        if (placed)
        {
            Interlocked.Add(ref holdsData ? ref _dataPages : ref _zeroPages, pages);
            if (ledger.Arrived(block, offset >> TargetPage.Shift, pages, holdsData))
            {
                Interlocked.Add(ref _askedPages, pages);
                Proof.OnAnswer(block, ledger.HostPageOf(block, offset >> TargetPage.Shift), channel);
            }
        }
        else if (RepeatsAllowed)
        {
            PostcopyLog.PageCameTwice(logger, WireName.Quote(block.Utf8Name), offset, channel.ToString());
        }
        else
        {
            throw ChannelException.Violation(channel, $"page 0x{offset:x} of block '{block.Name}' came a second time");
        }
    }
}
