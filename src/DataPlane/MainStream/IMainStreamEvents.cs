using DataPlane.Memory;
using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// What the reader of a main stream asks from, and tells to, the floor above. All calls come from the reading loop, one at a time.
/// </summary>
internal interface IMainStreamEvents
{
    /// <summary>The configuration section has been read: the machine type of the VM is known.</summary>
    void OnConfiguration(ConfigurationSection configuration);

    /// <summary>
    /// The source has opened the return path: from now on the destination may send on it. Called once, and nothing is read before it ends.
    /// </summary>
    ValueTask OnReturnPathOpenedAsync(CancellationToken cancellationToken);

    /// <summary>
    /// The list of RAM blocks is complete: creates the memory and returns the record of its pages. No page is placed before.
    /// </summary>
    /// <param name="blocks">The announced blocks, checked against the limits.</param>
    /// <param name="earlySections">Device sections that came before, as they came.</param>
    /// <param name="cancellationToken">Cancelled when the migration ends.</param>
    ValueTask<ReceivedPages> OnRamBlocksAsync(
        IReadOnlyList<RamBlockEntry> blocks, ReadOnlyMemory<byte> earlySections, CancellationToken cancellationToken);

    /// <summary>The stream is at a multifd mark: completes when all channels have reached it.</summary>
    Task OnSyncMarkAsync();

    /// <summary>
    /// Device sections follow the pages without an END of RAM: a background snapshot, whose guest goes on at the source. Called before <see
    /// cref="OnRamComplete"/>.
    /// </summary>
    void OnBackgroundSnapshot();

    /// <summary>The source's guest has stopped and its last pages have been placed; device state follows.</summary>
    void OnRamComplete();
}
