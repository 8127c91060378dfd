using DataPlane.Admission;
using DataPlane.Guard.ReturnPath;

namespace DataPlane.Guard.Course;

/// <summary>What the guard has seen of its migration, as far as admission must know it. Thread-safe.</summary>
internal sealed class GuardContext(PageRequests requests, bool takesLoneEnd) : IAdmissionContext
{
    private volatile bool _isPaused;
    private volatile bool _isPostcopy;
    private volatile bool _isBlind;

    public bool IsPaused
    {
        get => _isPaused;
        set => _isPaused = value;
    }

    /// <summary>Whether QEMU runs the guest, or is about to.</summary>
    internal bool IsPostcopy
    {
        get => _isPostcopy;
        set => _isPostcopy = value;
    }

    /// <summary>Whether the return path cannot be understood: then a well-formed record must do.</summary>
    internal bool IsBlind
    {
        get => _isBlind;
        set => _isBlind = value;
    }

    /// <summary>
    /// Only where QEMU cannot do without it. As long as a page is waited for, its bringer is the preempt channel, and an end without a page
    /// is a lie.
    /// </summary>
    public bool LoneEndIsPlausible => takesLoneEnd && IsPostcopy && requests.Count == 0;

    public PreemptVerdict Judge(ReadOnlySpan<byte> blockName, long offset) =>
        requests.Contains(blockName, offset) || (IsBlind && IsPostcopy) ? PreemptVerdict.Requested : PreemptVerdict.Refuse;
}
