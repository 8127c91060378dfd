namespace DataPlane;

/// <summary>
/// Answers what admission cannot see itself: whether the migration is paused, and which pages have been asked for. A destination without
/// postcopy needs none.
/// </summary>
/// <remarks>
/// Every member is called on the admission thread, at any time between listen and dispose, and must return at once. When an answer has
/// changed, call <see cref="ChannelAdmission.Recheck"/>. An exception is logged, and the connection that was being judged is held. A
/// connection is judged anew when <see cref="ChannelAdmission.ExpectRecovery"/> or <see cref="ChannelAdmission.StartAnew"/> was called
/// meanwhile, so a member that called one of them each time would hold all others up.
/// </remarks>
public interface IAdmissionHost
{
    /// <summary>
    /// Whether a postcopy migration has lost its connections and waits for recovery. A recovered main channel is admitted only then.
    /// </summary>
    bool IsPaused { get; }

    /// <summary>
    /// Whether the main channel that was admitted stays, whatever comes; others are refused then. Default <see langword="true"/>. While it
    /// is <see langword="false"/> (the host may yet call <see cref="ChannelAdmission.StartAnew"/>), other connections that prove to be main
    /// channels are held without a deadline, and the latest of them takes the place of the first when that is given up.
    /// </summary>
    bool MainIsSettled => true;

    /// <summary>
    /// Whether the migration may have lost its connections without the host knowing yet, because postcopy runs. Default
    /// <see langword="false"/>. If so, a recovered main channel from the main channel's peer is held for twice
    /// <see cref="AdmissionOptions.UndecidedTimeout"/>; after a pause the latest of them counts. A page record from there beside a preempt
    /// channel that was admitted is held for 3 s, and judged when the recovery has come.
    /// </summary>
    bool MayBePaused => false;

    /// <summary>
    /// Whether the host finds out itself which of several recovered main channels is the source's. Default <see langword="false"/>. If so,
    /// all of them are admitted while the migration is paused, and none takes the place of main before
    /// <see cref="ChannelAdmission.ConfirmMain"/>.
    /// </summary>
    bool ChoosesRecovery => false;

    /// <summary>
    /// Called when a recovered main channel from the main channel's peer is held: either the source has given up the link that the host
    /// takes for good, or a stranger connects from its address. The host should find out which, without disturbing the link.
    /// </summary>
    void OnRecoveryHeld()
    {
    }

    /// <summary>
    /// Whether a lone end may come from the preempt channel: postcopy has started, the main channel has ended, and no page can come any
    /// more. While it may not, a connection from the main channel's peer that has sent one is held.
    /// </summary>
    bool LoneEndIsPlausible { get; }

    /// <summary>Judges the head of the first page record on a connection that may be the preempt channel.</summary>
    /// <param name="blockName">The RAM block's name, 1 to 255 bytes, as on the wire.</param>
    /// <param name="offset">Byte offset of the page in the block: page-aligned and not negative, but not checked against the length of the
    /// block.</param>
    PreemptVerdict Judge(ReadOnlySpan<byte> blockName, long offset);

    /// <summary>
    /// Whether a RAM block of this name exists. A host that does not know its blocks answers <see langword="true"/>, which is the default.
    /// </summary>
    /// <param name="blockName">The RAM block's name, 1 to 255 bytes, as on the wire.</param>
    bool MayBeBlock(ReadOnlySpan<byte> blockName) => true;
}

/// <summary>How a host judges the first page record on a connection (<see cref="IAdmissionHost.Judge"/>).</summary>
public enum PreemptVerdict
{
    /// <summary>The host cannot judge it yet, for example because the RAM blocks are unknown: the connection is held.</summary>
    NotYet,

    /// <summary>There is no such block or page, or nobody has asked for it: this is not the preempt channel.</summary>
    Refuse,

    /// <summary>The page was asked for and has not come: this is the preempt channel.</summary>
    Requested,
}
