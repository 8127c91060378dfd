namespace DataPlane.Postcopy;

/// <summary>
/// Is told what becomes of the links of a <see cref="PostcopyReceiver"/>. Members are called from any thread, and never under a lock. What
/// they throw is logged and changes nothing.
/// </summary>
internal interface ILinkEvents
{
    /// <summary>Called when the guest waits for memory that does not come over the present link.</summary>
    /// <param name="cause">Why it does not come.</param>
    /// <param name="isLost">
    /// Whether the link is lost, so that from now on a recovered main channel is taken. It is false if pages that were asked for are lost
    /// with the preempt channel of a QEMU that has ended its stream: then the link still stands.
    /// </param>
    void OnPaused(Exception cause, bool isLost);

    /// <summary>
    /// Called when a connection that has begun a recovery has failed; the migration stays paused. The recovery waits for the return before
    /// it begins anew, so this must return at once.
    /// </summary>
    void OnRecoveryFailed(Exception cause);

    /// <summary>Called when the migration goes on over a new link.</summary>
    void OnResumed();
}
