using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>
/// Tells whether the source is proven to have read PONG(0x42), the message that its guest starts here. A QEMU from 10.2 on runs the guest
/// again if the link is lost before it has read that PONG, and its pages flow before that. Only a page that was requested after the PONG
/// and comes on the preempt channel proves anything: on main, the background may send a requested page although the request was never read.
/// </summary>
/// <remarks>Thread-safe.</remarks>
internal sealed class HandoverProof
{
    private readonly Lock _gate = new();
    private HashSet<(RamBlock Block, long Page)>? _askedBefore;
    private volatile bool _isMissing;

    /// <summary>Whether the source may not have read PONG(0x42), and so might run the guest again.</summary>
    public bool IsMissing => _isMissing;

    /// <summary>To be called before the PINGs of the package are answered.</summary>
    public void Tell(SourceTraits source) => _isMissing = source.TakesBack;

    /// <summary>To be called after the PINGs of the package have been answered.</summary>
    /// <param name="asked">
    /// The host pages that are asked for now. Any of them may have been requested before the PONG, so their arrival proves nothing.
    /// </param>
    public void Told(IReadOnlyList<(RamBlock Block, long Page)> asked)
    {
        lock (_gate)
        {
            _askedBefore = [.. asked];
        }
    }

    /// <summary>To be called when a host page that was asked for has arrived on <paramref name="channel"/>.</summary>
    public void OnAnswer(RamBlock block, long hostPage, ChannelId channel)
    {
        if (!_isMissing || channel != ChannelId.Preempt)
        {
            return;
        }

        lock (_gate)
        {
            _isMissing = _isMissing && _askedBefore?.Contains((block, hostPage)) != false;
        }
    }

    /// <summary>To be called when the source has recovered the link: it does so only for a guest that runs at its destination.</summary>
    public void OnRecovered() => _isMissing = false;
}
