using DataPlane.Linux;
using DataPlane.Transport;

namespace DataPlane.Postcopy;

/// <summary>What a <see cref="PostcopyReceiver"/> is to expect, and what it may take.</summary>
internal sealed record PostcopyReceiverSettings
{
    /// <summary>Returns the size of a host page of a block in bytes: the source's, or ours if that is larger.</summary>
    public required Func<RamBlock, long> HostPageSize { get; init; }

    /// <summary>Whether a guest runs on the memory while pages are missing.</summary>
    public required bool IsLive { get; init; }

    /// <summary>Optional features of userfaultfd, which the kernel is asked for if it has them.</summary>
    public UserfaultFeatures KernelFeatures { get; init; } = UserfaultFeatures.Poison;

    /// <summary>The limit on the memory for host pages that come in pieces; no limit by default.</summary>
    public StagingBudget Staging { get; init; } = new(long.MaxValue);

    /// <summary>Whether a preempt channel may exist: then pages that are missing at the end may have been lost with it.</summary>
    public bool PreemptIsExpected { get; init; }

    /// <summary>
    /// Returns whether a connection waits that may prove to be the preempt channel or a stranger. The default returns false.
    /// </summary>
    public Func<bool> MayHavePreempt { get; init; } = static () => false;
}
