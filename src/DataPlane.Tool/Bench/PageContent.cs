using System.Buffers.Binary;

namespace DataPlane.Tool.Bench;

/// <summary>
/// What each page of the bench's guest holds, derived from its number and from how often the guest has written to it: nobody has to be told
/// to find a wrong byte. A write counts up the first eight bytes of a page.
/// </summary>
/// <param name="pages">Pages of the guest.</param>
/// <param name="windowPages">The first pages of the memory, in which it writes.</param>
/// <param name="zeroPercent">Share of pages that were zero at the start.</param>
/// <param name="seed">Of the other pages.</param>
/// <param name="writes">How often the guest has written in its life, in the order of <see cref="PageOrder"/>.</param>
internal sealed class PageContent(long pages, long windowPages, int zeroPercent, ulong seed, long writes)
{
    private readonly PageOrder _order = new(windowPages);

    public long Pages => pages;

    /// <summary>How often the guest has written to a page.</summary>
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
