using DataPlane.Postcopy;

namespace DataPlane.Migration.Destination;

/// <summary>
/// Answers what admission asks a destination: whether it is paused, which RAM blocks there are, and which pages it has asked for.
/// </summary>
/// <param name="probeLimit">
/// How long the source's end of the link may leave a probe unanswered. The link is probed when a connection from the same peer begins a
/// recovery although the link is not known to be lost.
/// </param>
internal sealed class DestinationAdmissionHost(TimeSpan probeLimit) : IAdmissionHost
{
    private volatile PostcopyReceiver? _receiver;
    private volatile bool _isPaused;
    private volatile bool _mainIsSettled = true;
    private long _handed;

    /// <summary>The receiver of the postcopy; null until the RAM blocks are known, and where no postcopy is expected.</summary>
    public PostcopyReceiver? Receiver
    {
        get => _receiver;
        set => _receiver = value;
    }

    /// <summary>
    /// Whether the link is lost and no recovery has been taken yet. It is set after admission has been told to expect a recovery.
    /// </summary>
    public bool IsPaused
    {
        get => _isPaused;
        set => _isPaused = value;
    }

    /// <summary>
    /// How many channels sessions have been given so far, over all sets of channels. Admission counts the channels that it has admitted in
    /// the same way; the difference is on its way to a session.
    /// </summary>
    public long Handed => Volatile.Read(ref _handed);

    /// <summary>
    /// Whether the main channel stays, because the guest's memory is being created or
    /// <see cref="MigrationDestinationOptions.KeepsWaiting"/> is off. While it is false, another main channel may take the place of the
    /// first.
    /// </summary>
    public bool MainIsSettled
    {
        get => _mainIsSettled;
        set => _mainIsSettled = value;
    }

    /// <summary>Counts one more channel that has been given to its session, or closed because its set was given up.</summary>
    public void NoteHanded() => Interlocked.Increment(ref _handed);

    /// <summary>
    /// Whether the link may be lost without our having noticed. A QEMU 7.2 source that is refused once never comes again, so a recovery
    /// that begins before we have noticed the loss is held. Such a connection alone does not pause the migration.
    /// </summary>
    public bool MayBePaused => _receiver is { MayBePaused: true };

    /// <summary>
    /// Always false: nothing here waits for a preempt channel that has carried no page, and a connection that took its place would keep out
    /// the channel with the pages that were asked for.
    /// </summary>
    public bool LoneEndIsPlausible => false;

    /// <summary>
    /// Always true: any number of connections may begin a recovery, because the one that finishes the handshake is the source, and a
    /// stranger delays nobody.
    /// </summary>
    public bool ChoosesRecovery => true;

    public void OnRecoveryHeld() => _receiver?.Probe(probeLimit);

    public bool MayBeBlock(ReadOnlySpan<byte> blockName) => _receiver is not { } receiver || receiver.Memory.TryGetBlock(blockName, out _);

    public PreemptVerdict Judge(ReadOnlySpan<byte> blockName, long offset)
    {
        if (_receiver is not { IsListening: true } receiver)
        {
            return PreemptVerdict.NotYet;
        }

        return receiver.Memory.TryGetBlock(blockName, out var block) && offset < block.Length
            && receiver.Ledger.IsOpen(block, offset >> TargetPage.Shift)
            ? PreemptVerdict.Requested
            : PreemptVerdict.Refuse;
    }
}
