using DataPlane.Memory;

namespace DataPlane.Postcopy;

/// <summary>
/// Whether the source is known to have heard that its guest starts here. A QEMU from 10.2 on runs the guest again when the link is lost
/// before it has read PONG(0x42), and its pages flow before that: what arrives proves nothing but where it was asked for after the PONG.
/// Only the preempt channel carries nothing else; on main the background brings a page that was asked for all the same.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class HandoverProof
{
    private const string PreemptChannel = "preempt";

    private readonly Lock _gate = new();
    private HashSet<(RamBlock Block, long Page)>? _askedBefore;
    private volatile bool _isMissing;

    /// <summary>The source may not have heard it, and run the guest again.</summary>
    public bool IsMissing => _isMissing;

    /// <summary>The PINGs of the package are about to be answered.</summary>
    public void Tell(SourceTraits source) => _isMissing = source.TakesBack;

    /// <summary>They have been.</summary>
    /// <param name="asked">What is asked for: some of it may have been asked for before.</param>
    public void Told(IReadOnlyList<(RamBlock Block, long Page)> asked)
    {
        lock (_gate)
        {
            _askedBefore = [.. asked];
        }
    }

    /// <summary>A host page that was asked for has come.</summary>
    public void OnAnswer(RamBlock block, long hostPage, string channel)
    {
        if (!_isMissing || channel != PreemptChannel)
        {
            return;
        }

        lock (_gate)
        {
            _isMissing = _isMissing && _askedBefore?.Contains((block, hostPage)) != false;
        }
    }

    /// <summary>The source has come again: it waits for nobody but a guest that is here.</summary>
    public void OnRecovered() => _isMissing = false;
}
