using DataPlane.MainStream.Devices;
using DataPlane.Memory;

namespace DataPlane.Migration;

/// <summary>What a host implements to run a guest while its memory is still on the way (postcopy).</summary>
/// <remarks>
/// <para>After a switch to postcopy <see cref="LoadAsync"/> is called instead of <see cref="IIncomingGuest.CommitAsync"/>, then <see
/// cref="IIncomingGuest.StartAsync"/>,
/// and <see cref="CompleteAsync"/> when all memory is there. A source may finish by precopy all the same: then the calls are those of <see
/// cref="IIncomingGuest"/>.</para>
/// <para>From the call of <see cref="LoadAsync"/> to that of <see cref="CompleteAsync"/> a touch of a missing page waits for the page. The
/// memory may then be
/// touched by other processes, by system calls and by P/Invoke (without SuppressGCTransition), which is how KVM runs a guest; never by
/// managed code: a
/// thread that waits in managed code stops the garbage collector, and with it everything that could bring the page.</para>
/// <para>The memory must be anonymous, a memory file or reserved huge pages, and not locked. The calls for paused and resumed links come
/// from any thread, beside the others.</para>
/// </remarks>
public interface IPostcopyGuest : IIncomingGuest
{
    /// <summary>
    /// The guest stands still at its source: loads its devices. When this returns the destination tells the source, and from then on the
    /// guest is here only; when it
    /// throws, or the link is lost meanwhile, the source has the guest.
    /// </summary>
    ValueTask LoadAsync(DeviceState devices, CancellationToken cancellationToken);

    /// <summary>The whole memory is here and is ordinary memory again. The guest may have run for long.</summary>
    ValueTask CompleteAsync(ReceivedPages pages);

    /// <summary>
    /// The link is lost and the guest is here: what it touches of the missing memory waits until the source comes again. When
    /// <see cref="PostcopyPause.OwnershipUnknown"/> is set the guest should be stopped, until somebody knows that it does not run at its
    /// source.
    /// </summary>
    void OnPaused(PostcopyPause pause)
    {
    }

    /// <summary>The source has come again, and pages flow.</summary>
    void OnResumed()
    {
    }
}

/// <summary>Why a postcopy does not go on.</summary>
/// <param name="Cause">What happened to the link.</param>
/// <param name="OwnershipUnknown">
/// The source may not have heard that the guest starts here, and is one that runs it again then: a QEMU from 10.2 on. What came from it
/// since proves nothing, because its pages flow before: only an answer on the preempt channel to a request after the word does, or a
/// recovery. Without a preempt channel this is therefore set whenever such a source is lost for the first time.
/// </param>
public sealed record PostcopyPause(Exception Cause, bool OwnershipUnknown);
