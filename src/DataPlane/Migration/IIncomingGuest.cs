namespace DataPlane;

/// <summary>What a host implements to take a guest in.</summary>
/// <remarks>
/// One <see cref="MigrationDestination"/> makes these calls, on any thread, one at a time, in this order: <see cref="CreateMemoryAsync"/>,
/// <see cref="CommitAsync"/>, <see cref="StartAsync"/>. If the migration fails before the guest is here, <see cref="AbandonAsync"/> is
/// called once instead of the calls that are still to come, also if <see cref="CreateMemoryAsync"/> itself has failed.
/// </remarks>
public interface IIncomingGuest
{
    /// <summary>Creates the guest's memory: exactly the announced blocks, filled with zeros.</summary>
    /// <param name="machine">The VM as its source describes it.</param>
    /// <param name="blocks">The announced blocks, within the limits of the options, in the source's order.</param>
    /// <param name="cancellationToken">Cancelled when the migration is cancelled or fails.</param>
    ValueTask<GuestMemory> CreateMemoryAsync(
        IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken);

    /// <summary>
    /// Makes the guest startable, and durable where it is kept. Everything has arrived, and the guest stands still at its source. When this
    /// returns, the destination sends SHUT 0 to the source, and from then on the guest is here only. When it throws, the guest goes on at
    /// the source, unless it was fetched by postcopy from a source of this library: such a source keeps it stopped
    /// (<see cref="GuestOwner.Unknown"/>).
    /// </summary>
    /// <param name="devices">The state of the guest's devices.</param>
    /// <param name="pages">The guest's memory, and which of its pages have arrived.</param>
    /// <param name="cancellationToken">Never cancelled.</param>
    ValueTask CommitAsync(DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken);

    /// <summary>
    /// Starts the guest. The source has been told that the guest is here. If this throws, the guest is still here, and nowhere else.
    /// </summary>
    /// <param name="cancellationToken">Never cancelled.</param>
    ValueTask StartAsync(CancellationToken cancellationToken);

    /// <summary>Releases what was created, because the migration has ended without a guest here. Must not fail.</summary>
    /// <param name="cause">The failure that ended the migration.</param>
    ValueTask AbandonAsync(Exception cause);
}

/// <summary>A VM as its source announces it before its memory.</summary>
public sealed record IncomingMachine
{
    /// <summary>The versioned machine type name, such as <c>pc-q35-10.0</c>.</summary>
    public required string Name { get; init; }

    /// <summary>
    /// The VM's UUID from the configuration section or the multifd channels; null when neither carries one. All channels have been admitted
    /// when the machine is announced.
    /// </summary>
    public Guid? Uuid { get; init; }

    /// <summary>
    /// Whether the configuration section carries the UUID (capability validate-uuid). A copy of the stream must carry it then, too.
    /// </summary>
    public bool ValidatesUuid { get; init; }

    /// <summary>
    /// Whether the configuration section states the target page size, as it does for Arm machines. A copy of the stream must state it then,
    /// too, or QEMU takes it for a stream with pages of 1 KiB and refuses it (specification, 2-main-stream section 1.2).
    /// </summary>
    public bool AnnouncesTargetPageSize { get; init; }

    /// <summary>The device sections that the source sent before the memory (virtio-mem), as they came; empty for most guests.</summary>
    public ReadOnlyMemory<byte> EarlySections { get; init; }
}

/// <summary>A RAM block as its source announces it.</summary>
/// <param name="Name">The block's name, 1 to 255 bytes.</param>
/// <param name="Length">The block's length in bytes, a positive multiple of <see cref="TargetPage.Size"/>.</param>
public sealed record IncomingBlock(string Name, long Length)
{
    /// <summary>
    /// The size in bytes of the pages that back the block at the source. It is 4096 unless the source announces another, as it does where
    /// it may switch to postcopy.
    /// </summary>
    public long HostPageSize { get; init; } = TargetPage.Size;
}
