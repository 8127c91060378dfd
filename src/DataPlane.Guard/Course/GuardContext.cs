using DataPlane.Admission;
using DataPlane.Guard.Qmp;
using DataPlane.Guard.ReturnPath;

namespace DataPlane.Guard.Course;

/// <summary>What the guard has seen of its migration, as far as admission must know it. Thread-safe.</summary>
/// <param name="requests">The pages that QEMU waits for.</param>
/// <param name="blocks">The RAM blocks that QEMU has.</param>
/// <param name="takesLoneEnd">Whether QEMU must hear the end of a preempt channel.</param>
internal sealed class GuardContext(PageRequests requests, KnownBlocks blocks, bool takesLoneEnd) : IAdmissionContext
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

    /// <summary>Whether QEMU has been given the main channel: before, a set that does not become complete may be given up.</summary>
    public bool MainIsSettled
    {
        get => _mainIsSettled;
        set => _mainIsSettled = value;
    }

    /// <summary>Whether QEMU runs the guest, or is about to, and lives: its link may be lost at any time.</summary>
    public bool MayBePaused => _mayBePaused;

    internal bool TakesLoneEnd => takesLoneEnd;

    /// <summary>Whether QEMU runs the guest, or is about to, and asks for its pages.</summary>
    internal bool IsPostcopy
    {
        get => _isPostcopy;
        set
        {
            _isPostcopy = value;
            _mayBePaused |= value;
        }
    }

    /// <summary>Whether the return path cannot be understood: then a well-formed record must do.</summary>
    internal bool IsBlind
    {
        get => _isBlind;
        set => _isBlind = value;
    }

    /// <summary>
    /// Whether the first page of the preempt channel may be the answer to a request of the link that was lost: a QEMU source remembers those,
    /// and may answer one before QEMU here has repeated it. So a page of a block that QEMU has is held until the request passes.
    /// </summary>
    internal bool MayAnswerLostLink
    {
        get => _mayAnswerLostLink;
        set => _mayAnswerLostLink = value;
    }

    /// <summary>Knows whether the main channel has said everything.</summary>
    internal MainStreamEnd? MainEnd
    {
        set => _mainEnd = value;
    }

    /// <summary>Whether a page may still come that was asked for: also without an open request it does no harm to say so.</summary>
    internal bool AwaitsPages
    {
        set => _awaitsPages = value;
    }

    /// <summary>
    /// Only where QEMU cannot do without it, and not before main has said everything: until then a page may be asked for and brought, and
    /// whoever ends without one may be a stranger. QEMU would lose the pages.
    /// </summary>
    public bool LoneEndIsPlausible =>
        takesLoneEnd && IsPostcopy && _mainEnd is { HasCome: true } && (requests.Count == 0 || !_awaitsPages);

    public PreemptVerdict Judge(ReadOnlySpan<byte> blockName, long offset) =>
        requests.Contains(blockName, offset) || (IsBlind && IsPostcopy && blocks.MayHave(blockName, offset))
            ? PreemptVerdict.Requested
            : MayAnswerLostLink && blocks.MayHave(blockName, offset) ? PreemptVerdict.NotYet : PreemptVerdict.Refuse;

    public bool MayBeBlock(ReadOnlySpan<byte> blockName) => blocks.MayHave(blockName, 0);
}
