namespace DataPlane.Admission;

/// <summary>
/// What admission cannot see itself: whether the migration is paused, and which pages have been asked for. A destination without postcopy
/// needs none.
/// </summary>
/// <remarks>
/// Every member is called on the admission thread, at any time between listen and dispose, and must return at once. When an answer would
/// be another one now, call <see cref="ChannelAdmission.Recheck"/>. An exception is logged and counts as "not yet".
/// </remarks>
public interface IAdmissionContext
{
    /// <summary>
    /// Whether a postcopy migration has lost its connections and waits for recovery: only then is a recovered main channel let in.
    /// </summary>
    bool IsPaused { get; }

    /// <summary>
    /// Whether the main channel that was admitted stays, whatever comes. While it does not (the host may yet call
    /// <see cref="ChannelAdmission.StartAnew"/>) others that prove to be main channels are kept beside it, without a deadline: the next of
    /// them takes its place then. Default <see langword="true"/>: they are refused.
    /// </summary>
    bool MainIsSettled => true;

    /// <summary>
    /// Whether the migration may have lost its connections without the host knowing yet: postcopy runs. Then a recovered main channel that
    /// comes from the main channel's peer is kept for twice <see cref="AdmissionOptions.UndecidedTimeout"/>; after a pause the latest of
    /// them counts.
    /// </summary>
    bool MayBePaused => false;

    /// <summary>
    /// Whether the host finds out itself which of several recovered main channels is the source's: then all are let in while it is paused,
    /// and none takes the place of main before <see cref="ChannelAdmission.ConfirmMain"/>.
    /// </summary>
    bool ChoosesRecovery => false;

    /// <summary>
    /// A recovered main channel of the main channel's peer is kept: who comes again has given up the connection that the host holds for
    /// good, or is a stranger there. The host should find out, without disturbing that connection.
    /// </summary>
    void OnRecoveryHeld()
    {
    }

    /// <summary>
    /// Whether an end-of-channel word alone may come from the preempt channel: postcopy has started, the main channel has said everything,
    /// and no page can come any more. While it may not, a connection of the main channel's peer that has said it is kept.
    /// </summary>
    bool LoneEndIsPlausible { get; }

    /// <summary>
    /// What the head of a first page record proves. The offset is page-aligned and neither negative nor checked against the block.
    /// </summary>
    /// <param name="blockName">The RAM block's name, 1 to 255 bytes, as on the wire.</param>
    /// <param name="offset">Byte offset of the page in the block.</param>
    PreemptVerdict Judge(ReadOnlySpan<byte> blockName, long offset);

    /// <summary>Whether a RAM block of this name exists; a host that does not know its blocks says yes.</summary>
    /// <param name="blockName">The RAM block's name, 1 to 255 bytes, as on the wire.</param>
    bool MayBeBlock(ReadOnlySpan<byte> blockName) => true;
}
