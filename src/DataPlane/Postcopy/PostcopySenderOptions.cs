using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>How a <see cref="PostcopySender"/> sends the memory of its guest.</summary>
/// <param name="HostPages">The sizes of the pages that back each RAM block at the destination.</param>
internal sealed record PostcopySenderOptions(HostPages HostPages)
{
    /// <summary>When the preempt channel is opened; null if there is none.</summary>
    public PreemptTiming? Preempt { get; init; }

    /// <summary>The rate limit of the background; null for none.</summary>
    public SendLimit? Limit { get; init; }

    /// <summary>
    /// Whether the destination takes another attempt at a recovery after one that has failed. If not, no time limit ends its only one.
    /// </summary>
    public bool RepeatsRecovery { get; init; } = true;
}
