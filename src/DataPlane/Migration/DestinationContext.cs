using DataPlane.Admission;
using DataPlane.Memory;
using DataPlane.Postcopy;

namespace DataPlane.Migration;

/// <summary>What admission asks a destination: whether it is paused, which blocks there are, which pages it has asked for.</summary>
/// <param name="probeLimit">How long the source's end of a link may be silent when somebody says that the link is given up.</param>
internal sealed class DestinationContext(TimeSpan probeLimit) : IAdmissionContext
{
    private volatile PostcopyReceiver? _receiver;
    private volatile bool _isPaused;
    private volatile bool _mainIsSettled = true;
    private long _handed;

    /// <summary>Null until the RAM blocks are known, and where no postcopy is expected.</summary>
    public PostcopyReceiver? Receiver
    {
        get => _receiver;
        set => _receiver = value;
    }

    /// <summary>The link is lost, admission has been told to expect a recovery, and none has been taken.</summary>
    public bool IsPaused
    {
        get => _isPaused;
        set => _isPaused = value;
    }

    /// <summary>
    /// Channels that a session has been given, over all sets of channels. Admission counts those that it has admitted in the same way; the
    /// difference is on its way.
    /// </summary>
    public long Handed => Volatile.Read(ref _handed);

    /// <summary>Whether the guest's memory is being created: before, another main channel may yet take the place of the first.</summary>
    public bool MainIsSettled
    {
        get => _mainIsSettled;
        set => _mainIsSettled = value;
    }

    /// <summary>One more has been given to its session, or closed because its set was given up.</summary>
    public void NoteHanded() => Interlocked.Increment(ref _handed);

    /// <summary>
    /// A source of QEMU 7.2 that is refused once never comes again, so one that is earlier than our notice waits for it. Its word alone
    /// pauses nothing.
    /// </summary>
    public bool MayBePaused => _receiver is { MayBePaused: true };

    /// <summary>
    /// Never: nothing here waits for a channel that carried no page, and whoever took its place would keep the channel out whose pages
    /// were asked for.
    /// </summary>
    public bool LoneEndIsPlausible => false;

    /// <summary>Any number may begin a recovery: who finishes the handshake is the source, and a stranger holds nobody up.</summary>
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
