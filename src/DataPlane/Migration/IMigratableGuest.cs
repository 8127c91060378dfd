namespace DataPlane;

/// <summary>What a host implements to let a guest leave: its memory, a way to know what it writes, and a way to stop it.</summary>
/// <remarks>One <see cref="MigrationSource"/> calls all members, on any thread, never concurrently.</remarks>
public interface IMigratableGuest
{
    /// <summary>
    /// The versioned machine type name that the destination must have, 1 to 255 bytes (specification, 2-main-stream section 1.2).
    /// </summary>
    string MachineName { get; }

    /// <summary>The VM's UUID, which every multifd channel carries; <see cref="Guid.Empty"/> when the VM has none.</summary>
    Guid Uuid { get; }

    /// <summary>
    /// Whether the configuration section carries the UUID, too, so that a destination whose VM has another UUID refuses the guest. Default:
    /// false.
    /// </summary>
    bool ValidatesUuid => false;

    /// <summary>
    /// Whether the configuration section states the target page size of <see cref="TargetPage.Size"/> bytes, as it must for Arm machines
    /// and must not for x86. Default: false.
    /// </summary>
    bool AnnouncesTargetPageSize => false;

    /// <summary>
    /// The device sections that belong before the memory (virtio-mem), each with its header and footer. Default: empty, as for most guests.
    /// </summary>
    ReadOnlyMemory<byte> EarlySections => default;

    /// <summary>All RAM blocks of the guest. The host owns them, and they do not change during the migration.</summary>
    GuestMemory Memory { get; }

    /// <summary>
    /// The pages that may hold anything but zeros, where the host knows them. All other pages are sent as zero pages without being read.
    /// This is meant for guests that stand still. Default: null, so every page is read.
    /// </summary>
    GuestPageSet? PagesHoldingData => null;

    /// <summary>Whether the guest runs and can write to its memory. A guest that stands still needs no dirty tracking.</summary>
    bool IsRunning { get; }

    /// <summary>
    /// Creates the tracker of the pages that the guest writes. It is called for a running guest only, and the migration disposes of the
    /// tracker.
    /// </summary>
    IDirtyTracker CreateDirtyTracker();

    /// <summary>
    /// Stops the guest. When the task completes, nothing writes to its memory any more. If this throws, the migration fails and calls
    /// <see cref="ResumeAsync"/>.
    /// </summary>
    /// <param name="cancellationToken">
    /// Cancelled when the migration is cancelled or fails; the migration then ends and calls <see cref="ResumeAsync"/>.
    /// </param>
    ValueTask PauseAsync(CancellationToken cancellationToken);

    /// <summary>
    /// Lets the guest that <see cref="PauseAsync"/> was to stop run on, because the migration has failed or was cancelled before the
    /// destination could take the guest over. Must not fail; if it does, the guest counts as standing still at its source.
    /// </summary>
    ValueTask ResumeAsync();

    /// <summary>
    /// Saves the state of the stopped guest's devices in the form that the destination expects. If this throws, the migration fails, and a
    /// guest that was stopped for it runs on here.
    /// </summary>
    /// <param name="cancellationToken">Cancelled when the migration is cancelled or fails.</param>
    ValueTask<DeviceState> SaveDeviceStateAsync(CancellationToken cancellationToken);
}
