using DataPlane.MainStream.Devices;
using DataPlane.Memory;

namespace DataPlane.Migration;

/// <summary>What a host implements to let a guest leave: its memory, a way to know what it writes, and a way to stand still.</summary>
/// <remarks>All members are called by one <see cref="MigrationSource"/> at a time, never concurrently.</remarks>
public interface IMigratableGuest
{
    /// <summary>
    /// The versioned machine type name that the destination must have, 1 to 255 bytes (specification, 2-main-stream section 1.2).
    /// </summary>
    string MachineName { get; }

    /// <summary>The VM's identity, carried by every multifd channel. <see cref="Guid.Empty"/> when it has none.</summary>
    Guid Uuid { get; }

    /// <summary>
    /// The configuration carries the UUID too, so that the destination refuses the guest where it has another one. Default: no.
    /// </summary>
    bool ValidatesUuid => false;

    /// <summary>
    /// The configuration states the target page size of <see cref="TargetPage.Size"/> bytes, as it must for Arm machines and must not for
    /// x86. Default: no.
    /// </summary>
    bool AnnouncesTargetPageSize => false;

    /// <summary>
    /// Device sections that belong before the memory (virtio-mem), each with header and footer. Default: none, as with most guests.
    /// </summary>
    ReadOnlyMemory<byte> EarlySections => default;

    /// <summary>All RAM blocks of the guest. Owned by the host and unchanged during the migration.</summary>
    GuestMemory Memory { get; }

    /// <summary>
    /// The pages that may hold anything but zeros, where the host knows: all others go as zero pages, and none is looked at. Asked once,
    /// and meant for guests that stand still. Default: null, every page is looked at.
    /// </summary>
    GuestPageSet? PagesHoldingData => null;

    /// <summary>True while the guest can write its memory. A guest that stands still needs no dirty tracking.</summary>
    bool IsRunning { get; }

    /// <summary>Creates the tracker of the pages that the guest writes. The migration disposes it.</summary>
    IDirtyTracker CreateDirtyTracker();

    /// <summary>Stops the guest: when the task completes, nothing writes its memory any more.</summary>
    /// <param name="cancellationToken">Cancels the waiting; the migration then ends and calls <see cref="ResumeAsync"/>.</param>
    ValueTask PauseAsync(CancellationToken cancellationToken);

    /// <summary>
    /// Lets a paused guest run on here: the migration has failed or was cancelled before the destination could take it over. Must not fail.
    /// </summary>
    ValueTask ResumeAsync();

    /// <summary>The state of the paused guest's devices, as the destination expects it.</summary>
    ValueTask<DeviceState> SaveDeviceStateAsync(CancellationToken cancellationToken);
}
