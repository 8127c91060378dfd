using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <content>Handles DISCARD, which comes before the switch.</content>
internal sealed partial class PostcopyReceiver
{
    /// <summary>
    /// Discards pages, because the source will send them again. If <paramref name="atOnce"/> is true, their memory is given up at once:
    /// there may be very many, and the source may send the commands ahead while the guest still runs there. It must be false while another
    /// channel might still write to them.
    /// </summary>
    public void Discard(RamBlock block, long firstPage, long pageCount, bool atOnce)
    {
        Ledger.Discard(block, firstPage, pageCount);
        if (atOnce)
        {
            _userfaultStore?.Drop(block, firstPage, pageCount);
        }
    }
}
