using DataPlane.MainStream.Devices;
using DataPlane.Memory;

namespace DataPlane.Migration;

/// <summary>What a host implements to take a guest in.</summary>
/// <remarks>
/// Called by one <see cref="MigrationDestination"/>, one call at a time, in this order:
/// <see cref="CreateMemoryAsync"/>, <see cref="CommitAsync"/>, <see cref="StartAsync"/>; or <see cref="AbandonAsync"/> once, instead of
/// what has not been called yet.
/// </remarks>
public interface IIncomingGuest
{
    /// <summary>Creates the guest's memory: exactly the announced blocks, reading as zero.</summary>
    /// <param name="machine">The VM as its source describes it.</param>
    /// <param name="blocks">The announced blocks, within the limits of the options, in the source's order.</param>
    /// <param name="cancellationToken">Cancelled when the migration ends.</param>
    ValueTask<GuestMemory> CreateMemoryAsync(
        IncomingMachine machine, IReadOnlyList<IncomingBlock> blocks, CancellationToken cancellationToken);

    /// <summary>
    /// Everything has arrived: makes the guest startable, and durable where it is kept. The source's guest stands still meanwhile. When
    /// this returns, the
    /// destination says so to the source, and from then on the guest is here only; when it throws, the guest goes on at the source.
    /// </summary>
    ValueTask CommitAsync(DeviceState devices, ReceivedPages pages, CancellationToken cancellationToken);

    /// <summary>
    /// The source has been told: the guest is ours and may run. When it throws, the guest is still here, and nowhere else.
    /// </summary>
    ValueTask StartAsync(CancellationToken cancellationToken);

    /// <summary>The migration has ended without a guest: releases what was created. Must not fail.</summary>
    ValueTask AbandonAsync(Exception cause);
}

/// <summary>A VM as its source announces it before its memory.</summary>
public sealed record IncomingMachine
{
    /// <summary>Versioned machine type name, such as <c>pc-q35-10.0</c>.</summary>
    public required string Name { get; init; }

    /// <summary>
    /// The VM's UUID from the configuration section or the multifd channels, when either carries one. Multifd channels may come after this
    /// announcement: <see cref="MigrationReport.Uuid"/> is what all of them said.
    /// </summary>
    public Guid? Uuid { get; init; }

    /// <summary>The configuration section carries the UUID (capability validate-uuid), so a copy of the stream must too.</summary>
    public bool ValidatesUuid { get; init; }

    /// <summary>
    /// The configuration section states the target page size, as Arm machines do: a copy of the stream must too, or QEMU takes it for one
    /// with pages of 1 KiB and refuses it (specification, 2-main-stream section 1.2).
    /// </summary>
    public bool AnnouncesTargetPageSize { get; init; }

    /// <summary>Device sections that the source sent before the memory (virtio-mem), as they came. Mostly empty.</summary>
    public ReadOnlyMemory<byte> EarlySections { get; init; }
}

/// <summary>A RAM block as its source announces it.</summary>
/// <param name="Name">The block's name, 1 to 255 bytes.</param>
/// <param name="Length">Bytes, a positive multiple of <see cref="TargetPage.Size"/>.</param>
public sealed record IncomingBlock(string Name, long Length)
{
    /// <summary>
    /// Bytes of the pages that back it at the source: 4096 unless the source announces others, which it does where it may switch to
    /// postcopy.
    /// </summary>
    public long HostPageSize { get; init; } = TargetPage.Size;
}
