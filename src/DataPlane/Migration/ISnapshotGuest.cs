namespace DataPlane.Migration;

/// <summary>
/// What a host implements to keep a background snapshot of a guest (QEMU's capability <c>background-snapshot</c>): a live backup.
/// </summary>
/// <remarks>
/// <para>The guest of such a source never leaves it. It stands still only while the snapshot begins, and runs on while its memory of that
/// moment arrives: whoever started what has arrived would run it twice. Therefore only a host that implements this interface takes such a
/// stream; for any other one the migration fails. Nothing tells before the end of the memory that a stream is a snapshot.</para>
/// <para>The calls are those of <see cref="IIncomingGuest"/>, with <see cref="KeepAsync"/> instead of <see
/// cref="IIncomingGuest.StartAsync"/>. A migration that is none, to the same host, starts as ever.</para>
/// <para>Such a source waits for no answer, and takes the snapshot for complete when its last byte has left.</para>
/// </remarks>
public interface ISnapshotGuest : IIncomingGuest
{
    /// <summary>
    /// The snapshot is complete and <see cref="IIncomingGuest.CommitAsync"/> has made it durable; its guest goes on at the source.
    /// </summary>
    /// <param name="cancellationToken">Never cancelled.</param>
    ValueTask KeepAsync(CancellationToken cancellationToken);
}
