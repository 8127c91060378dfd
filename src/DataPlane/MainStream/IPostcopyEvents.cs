namespace DataPlane.MainStream;

/// <summary>
/// Receives the events of a <see cref="MainStreamReader"/> at a destination that accepts postcopy, and supplies what the reader needs. All
/// calls come from the reading loop, one at a time.
/// </summary>
internal interface IPostcopyEvents
{
    /// <summary>
    /// Called when the source announces that it may switch to postcopy later. This is the last moment at which postcopy can be refused
    /// without stopping the guest.
    /// </summary>
    void OnAdvise();

    /// <summary>Returns the size in bytes of the host pages of a block, which comes from the announced list.</summary>
    long HostPageSizeOf(RamBlock block);

    /// <summary>
    /// Called when the source's guest has stopped, or stops within a round trip: at the first DISCARD, or after those that a source of ours
    /// sends ahead. Called once; not at all if the source says nothing of a stop before the package.
    /// </summary>
    void OnStop();

    /// <summary>Called for pages that are stale or were never sent, and that will come after the switch.</summary>
    void OnDiscard(RamBlock block, long firstPage, long pageCount);
}
