namespace DataPlane;

/// <summary>
/// What a host implements to keep a background snapshot: a copy of a guest that runs on at its source (QEMU's capability
/// <c>background-snapshot</c>).
/// </summary>
/// <remarks>
/// <para>The guest of such a source never leaves it. It stands still only while the snapshot begins, and runs on while its memory as of
/// that moment arrives, so a host that started what has arrived would run the guest twice. Therefore the migration fails unless the host
/// implements this interface. A stream cannot be recognised as a snapshot before the end of its memory.</para>
/// <para>The calls are those of <see cref="IIncomingGuest"/>, with <see cref="KeepAsync"/> instead of
/// <see cref="IIncomingGuest.StartAsync"/>. An ordinary migration to the same host calls <see cref="IIncomingGuest.StartAsync"/>.</para>
/// <para>Such a source waits for no answer. It takes the snapshot for complete when the last byte has left.</para>
/// </remarks>
public interface ISnapshotGuest : IIncomingGuest
{
    /// <summary>
    /// Keeps the snapshot, which is complete and which <see cref="IIncomingGuest.CommitAsync"/> has made durable. Its guest goes on at the
    /// source, also if this throws; the migration then fails with <see cref="FailureReason.HostFailed"/>.
    /// </summary>
    /// <param name="cancellationToken">Never cancelled.</param>
    ValueTask KeepAsync(CancellationToken cancellationToken);
}
