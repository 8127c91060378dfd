using System.Buffers.Binary;

namespace DataPlane.Tool.Bench;

/// <summary>
/// Computes what each page of the bench's guest must hold, from the page's number and from how often the guest has written to it: the
/// destination can find a wrong byte without a copy of the memory. A write counts up the first eight bytes of a page.
/// </summary>
/// <param name="pages">The number of the guest's pages.</param>
/// <param name="windowPages">The number of pages, from the start of the memory, in which the guest writes.</param>
/// <param name="zeroPercent">The share of pages that were zero at the start, 0 to 100.</param>
/// <param name="seed">The seed of the other pages.</param>
/// <param name="writes">How many pages the guest has written in its life, in the order of <see cref="PageOrder"/>.</param>
internal sealed class PageContent(long pages, long windowPages, int zeroPercent, ulong seed, long writes)
{
    private readonly PageOrder _order = new(windowPages);

    public long Pages => pages;

    /// <summary>How often the guest has written to a page at the source.</summary>
    public long Generation(long page) => page >= windowPages ? 0
        : (writes / windowPages) + (_order.PositionOf(page) < writes % windowPages ? 1 : 0);

    /// <summary>Fills in what a page holds after <paramref name="more"/> further writes.</summary>
    public void Fill(long page, long more, Span<byte> bytes)
    {
        MemoryFill.FillPage(bytes, page, zeroPercent, seed);
        var first = BinaryPrimitives.ReadInt64LittleEndian(bytes);
        BinaryPrimitives.WriteInt64LittleEndian(bytes, unchecked(first + Generation(page) + more));
    }
}
