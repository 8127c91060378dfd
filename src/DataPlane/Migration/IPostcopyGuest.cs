namespace DataPlane;

/// <summary>What a host implements to run a guest while its memory is still on the way (postcopy).</summary>
/// <remarks>
/// <para>After a switch to postcopy, <see cref="LoadAsync"/> is called instead of <see cref="IIncomingGuest.CommitAsync"/>, then
/// <see cref="IIncomingGuest.StartAsync"/>, and <see cref="CompleteAsync"/> when all memory is here. A source may finish by precopy all the
/// same; the calls are those of <see cref="IIncomingGuest"/> then.</para>
/// <para>From the call of <see cref="LoadAsync"/> to the call of <see cref="CompleteAsync"/>, a touch of a missing page waits for that
/// page. The memory may be touched then by other processes, by system calls and by P/Invoke (without SuppressGCTransition), which is how
/// KVM runs a guest, but never by managed code: a thread that waits in managed code stops the garbage collector, and with it everything
/// that could bring the page.</para>
/// <para>The memory must be anonymous, a memory file or reserved huge pages, and not locked. <see cref="OnPaused"/> and
/// <see cref="OnResumed"/> are called on any thread, also while another member is being called. What they throw is logged and changes
/// nothing.</para>
/// </remarks>
public interface IPostcopyGuest : IIncomingGuest
{
    /// <summary>
    /// Loads the guest's devices while the guest stands still at its source. When this returns, the destination tells the source, and from
    /// then on the guest is here only. When it throws, or when the link is lost meanwhile, the guest stays at its source.
    /// </summary>
    /// <param name="devices">The state of the guest's devices.</param>
    /// <param name="cancellationToken">Cancelled when the migration is cancelled or fails.</param>
    ValueTask LoadAsync(DeviceState devices, CancellationToken cancellationToken);

    /// <summary>
    /// Called when the whole memory is here and has become ordinary memory again. The guest may have run for a long time by then. If this
    /// throws, the migration fails here, and the guest stays here.
    /// </summary>
    /// <param name="pages">The guest's memory, and which of its pages have arrived.</param>
    ValueTask CompleteAsync(ReceivedPages pages);

    /// <summary>
    /// Called when the link is lost and the guest is here, and again when an attempt to recover has failed. A touch of missing memory waits
    /// until the source comes again. If <see cref="PostcopyPause.OwnershipUnknown"/> is set, the host should stop the guest until somebody
    /// knows that it does not run at its source.
    /// </summary>
    /// <param name="pause">Why the link was lost, and whether the source may run the guest.</param>
    void OnPaused(PostcopyPause pause)
    {
    }

    /// <summary>Called when the source has come again and pages flow over the new link.</summary>
    void OnResumed()
    {
    }
}

/// <summary>Why a postcopy does not go on.</summary>
/// <param name="Cause">What happened to the link.</param>
/// <param name="OwnershipUnknown">
/// Whether the source may run the guest again: it may not have heard that the guest starts here, and it is a QEMU from 10.2 on, which
/// starts its guest again in that case. Pages from such a source prove nothing, because they flow before it has heard. Only a recovery is a
/// proof, or an answer on the preempt channel to a request that was sent after PONG(0x42). Without a preempt channel this is therefore true
/// whenever such a source is lost for the first time.
/// </param>
public sealed record PostcopyPause(Exception Cause, bool OwnershipUnknown);
