using DataPlane.Guard.Relay;
using DataPlane.Guard.ReturnPath;

namespace DataPlane.Guard.Session;

/// <summary>
/// One link between the source and QEMU: the main channel, what the guard sees of its stream, and the preempt channel that goes with it. A
/// recovery makes a new link, so whoever still works for an old one finds nothing of the new one. The session's loop writes, any thread
/// reads.
/// </summary>
/// <param name="main">The main channel.</param>
/// <param name="tap">Reads what QEMU sends on it; null where TLS hides that.</param>
/// <param name="end">Sees whether the main stream has ended; null where that does not matter.</param>
internal sealed class GuardedLink(ChannelRelay main, ReturnPathTap? tap, MainStreamEnd? end)
{
    private volatile ChannelRelay? _preempt;

    public ChannelRelay Main => main;

    public MainStreamEnd? MainEnd => end;

    /// <summary>The preempt channel; null before it is open to QEMU, and after a pause.</summary>
    public ChannelRelay? Preempt
    {
        get => _preempt;
        set => _preempt = value;
    }

    /// <summary>The preempt channel that is open to QEMU and waits for its client; null where none waits.</summary>
    public ChannelRelay? UnusedPreempt => _preempt is { Client: null, Ending: RelayEnding.None } unused ? unused : null;

    /// <summary>The value of QEMU's SHUT; null before it has come. Only the session's loop uses it.</summary>
    public uint? Shut { get; set; }

    /// <summary>Whether everything has been sent, or QEMU has said that the migration is over: a loss pauses nothing any more.</summary>
    public bool IsAtItsEnd => tap is { HasShut: true } || end is { HasCome: true };

    /// <summary>Whether the main channel has ended or is lost, be it that QEMU has not been told yet.</summary>
    public bool HasLostMain => main.IsLosing || main.State is GuardChannelState.HalfClosed or GuardChannelState.Closed;

    /// <summary>Ignores page requests from now on, because the preempt channel has its client.</summary>
    public void IgnoreRequests()
    {
        if (tap is not null)
        {
            tap.IgnoresRequests = true;
        }
    }

    /// <summary>Takes the preempt channel away, so that no client joins it any more.</summary>
    public ChannelRelay? TakePreempt()
    {
        var preempt = _preempt;
        _preempt = null;
        return preempt;
    }
}
