using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Receives the events of a <see cref="MainStreamReader"/> and supplies what it needs. All calls come from the reading loop, one at a time.
/// </summary>
internal interface IMainStreamEvents
{
    /// <summary>Called when the configuration section has been read, which names the machine type of the VM.</summary>
    void OnConfiguration(ConfigurationSection configuration);

    /// <summary>
    /// Called once, when the source has opened the return path: from now on the destination may send on it. The reader reads nothing more
    /// until the returned task has completed.
    /// </summary>
    ValueTask OnReturnPathOpenedAsync(CancellationToken cancellationToken);

    /// <summary>
    /// Called when the list of RAM blocks is complete. Creates the guest's memory and returns the record of its pages; the reader places no
    /// page before that.
    /// </summary>
    /// <param name="blocks">The announced blocks, checked against the limits.</param>
    /// <param name="earlySections">The device sections that came before the ram section, as received.</param>
    /// <param name="cancellationToken">Cancelled when the migration ends.</param>
    ValueTask<ReceivedPages> OnRamBlocksAsync(
        IReadOnlyList<RamBlockEntry> blocks, ReadOnlyMemory<byte> earlySections, CancellationToken cancellationToken);

    /// <summary>
    /// Called at a multifd mark in the stream. The returned task completes when all multifd channels have reached the mark.
    /// </summary>
    Task OnSyncMarkAsync();

    /// <summary>
    /// Called when device sections follow the pages without an END of RAM: the stream is a background snapshot, whose guest runs on at the
    /// source. <see cref="OnRamComplete"/> is called after it.
    /// </summary>
    void OnBackgroundSnapshot();

    /// <summary>
    /// Called when the last pages of precopy have been placed; the device state follows, or has arrived in the package of postcopy. The
    /// source's guest has stopped, except in a background snapshot.
    /// </summary>
    void OnRamComplete();
}
