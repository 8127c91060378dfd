using DataPlane.Guard.Qmp;
using DataPlane.Guard.ReturnPath;

namespace DataPlane.Guard.Session;

/// <summary>What admission must know of the guarded migration. Thread-safe.</summary>
/// <param name="requests">The pages that QEMU waits for.</param>
/// <param name="blocks">The RAM blocks that QEMU has.</param>
/// <param name="takesLoneEnd">Whether QEMU must be sent the end of a preempt channel that has carried no page.</param>
internal sealed class GuardAdmissionHost(PageRequests requests, KnownBlocks blocks, bool takesLoneEnd) : IAdmissionHost
{
    private volatile bool _isPaused;
    private volatile bool _mainIsSettled;
    private volatile bool _isPostcopy;
    private volatile bool _mayBePaused;
    private volatile bool _isBlind;
    private volatile bool _awaitsPages = true;
    private volatile bool _mayAnswerLostLink;
    private volatile MainStreamEnd? _mainEnd;

    public bool IsPaused
    {
        get => _isPaused;
        set => _isPaused = value;
    }

    /// <summary>Whether QEMU has been given the main channel. Before that, a set that does not become complete may be given up.</summary>
    public bool MainIsSettled
    {
        get => _mainIsSettled;
        set => _mainIsSettled = value;
    }

    /// <summary>Whether QEMU has ever run the guest or been about to: its link may be lost at any time.</summary>
    public bool MayBePaused => _mayBePaused;

    public bool TakesLoneEnd => takesLoneEnd;

    /// <summary>Whether QEMU runs the guest, or is about to, and asks for its pages. It is false again during a pause.</summary>
    public bool IsPostcopy
    {
        get => _isPostcopy;
        set
        {
            _isPostcopy = value;
            _mayBePaused |= value;
        }
    }

    /// <summary>Whether the return path cannot be understood, so that a well-formed page record must do as a proof.</summary>
    public bool IsBlind
    {
        get => _isBlind;
        set => _isBlind = value;
    }

    /// <summary>
    /// Whether the first page of the preempt channel may answer a request of the lost link: a QEMU source remembers those requests, and may
    /// answer one before the QEMU here has repeated it. So a page of a block that QEMU has is held until its request passes.
    /// </summary>
    public bool MayAnswerLostLink
    {
        get => _mayAnswerLostLink;
        set => _mayAnswerLostLink = value;
    }

    /// <summary>
    /// Whether the link is lost and the migration not paused yet, because QEMU is still to be told. A page that comes now is of the next
    /// link: one that joined the old preempt channel would be lost with it, and its source's recovery too.
    /// </summary>
    public Func<bool> LinkIsLost { get; init; } = static () => false;

    /// <summary>Sees whether the main stream has ended; <see langword="null"/> where that does not matter.</summary>
    public MainStreamEnd? MainEnd
    {
        set => _mainEnd = value;
    }

    /// <summary>Whether a page that was asked for may still come. The value does not matter while no request is open.</summary>
    public bool AwaitsPages
    {
        set => _awaitsPages = value;
    }

    /// <summary>
    /// Whether an end without a page may be that of the preempt channel: only where QEMU needs it, and not before the main stream has
    /// ended. Until then a page may still be asked for and sent, and the end may come from a stranger; QEMU would lose the pages.
    /// </summary>
    public bool LoneEndIsPlausible =>
        takesLoneEnd && IsPostcopy && _mainEnd is { HasCome: true } && (requests.Count == 0 || !_awaitsPages);

    public PreemptVerdict Judge(ReadOnlySpan<byte> blockName, long offset)
    {
        var isLost = LinkIsLost();
        return !isLost && (requests.Contains(blockName, offset) || (IsBlind && IsPostcopy && blocks.MayHave(blockName, offset)))
            ? PreemptVerdict.Requested
            : (isLost || MayAnswerLostLink) && blocks.MayHave(blockName, offset) ? PreemptVerdict.NotYet : PreemptVerdict.Refuse;
    }

    public bool MayBeBlock(ReadOnlySpan<byte> blockName) => blocks.MayHave(blockName, 0);
}
