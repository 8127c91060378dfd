using DataPlane.Memory;

namespace DataPlane.MainStream;

/// <summary>
/// What the reader of a main stream tells, and asks from, a destination that takes postcopy. All calls come from the reading loop, one at a
/// time.
/// </summary>
internal interface IPostcopyEvents
{
    /// <summary>The source may switch to postcopy later: the last moment to refuse it without stopping the guest.</summary>
    void OnAdvise();

    /// <summary>Bytes of a host page of a block of the announced list.</summary>
    long HostPageSizeOf(RamBlock block);

    /// <summary>The source's guest has stopped. Pages that are stale or were never sent; they come after the switch.</summary>
    void OnDiscard(RamBlock block, long firstPage, long pageCount);
}
