using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <content>What is to come again, told before the switch.</content>
internal sealed partial class PostcopyReceiver
{
    /// <summary>
    /// The source will send these pages anew. Their memory is given up at once, unless another channel might still write to it: there may
    /// be very many, and the guest's source may send this ahead while it still runs there.
    /// </summary>
    public void Discard(RamBlock block, long firstPage, long pageCount, bool atOnce)
    {
        Ledger.Discard(block, firstPage, pageCount);
        if (atOnce)
        {
            _live?.Drop(block, firstPage, pageCount);
        }
    }
}
