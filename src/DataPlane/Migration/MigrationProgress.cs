namespace DataPlane.Migration;

/// <summary>
/// A look at a migration under way. Reported at every change of phase, after every round, and at each progress interval of the options.
/// </summary>
public sealed record MigrationProgress
{
    /// <summary>Where the migration is.</summary>
    public required MigrationPhase Phase { get; init; }

    /// <summary>Time since the first connect (source) or the first channel (destination).</summary>
    public TimeSpan Elapsed { get; init; }

    /// <summary>
    /// Round of precopy, from 1; 0 before. The last one runs with the guest stopped. Always 0 at a destination, which is not told.
    /// </summary>
    public int Round { get; init; }

    /// <summary>Bytes on all channels so far, headers included.</summary>
    public required long TransferredBytes { get; init; }

    /// <summary>Pages that went with their bytes so far, repetitions counted.</summary>
    public required long NormalPages { get; init; }

    /// <summary>Pages that went as zero pages so far, repetitions counted.</summary>
    public required long ZeroPages { get; init; }

    /// <summary>Pages that this round has still to send. Always 0 at a destination.</summary>
    public long RemainingPages { get; init; }

    /// <summary>
    /// Postcopy has lost its link. The source waits for <see cref="MigrationSource.Resume"/>, the destination for the source to come again.
    /// </summary>
    public bool IsPaused { get; init; }

    /// <summary>A paused source tries a new link, after <see cref="MigrationSource.Resume"/>. Source only.</summary>
    public bool IsRecovering { get; init; }

    /// <summary>What ended the link, or the last attempt at a new one, in words; null while there is one.</summary>
    public string? PauseReason { get; init; }

    /// <summary>
    /// What the migration cannot go on without, in words: <c>3 of 4 multifd channels</c> that are missing; null while nothing is awaited.
    /// </summary>
    public string? WaitingFor { get; init; }

    /// <summary>Who has the guest at this moment.</summary>
    public GuestOwner Owner { get; init; }

    /// <summary>
    /// A paused destination cannot know whether its source waits or runs the guest again: <see cref="PostcopyPause.OwnershipUnknown"/>. The
    /// source's <c>query-migrate</c> says it: <c>failing</c> and <c>failed</c> mean that the guest runs there, and nobody will come.
    /// </summary>
    public bool OwnershipUnknown { get; init; }

    /// <summary>Bytes per second since the report before.</summary>
    public double BytesPerSecond { get; init; }

    /// <summary>Bytes per second that the guest dirtied during the last complete round. Source only.</summary>
    public double DirtyBytesPerSecond { get; init; }

    /// <summary>How long the guest would stand still if it were stopped after the last complete round; null before. Source only.</summary>
    public TimeSpan? ExpectedDowntime { get; init; }
}
