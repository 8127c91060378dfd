namespace DataPlane;

/// <summary>
/// The state of a migration under way. It is reported at every change of phase, at each progress interval of the options, and at a source
/// after every round.
/// </summary>
public sealed record MigrationProgress
{
    /// <summary>The phase of the migration.</summary>
    public required MigrationPhase Phase { get; init; }

    /// <summary>The time since the first connect (source) or since the first channel was admitted (destination).</summary>
    public TimeSpan Elapsed { get; init; }

    /// <summary>
    /// The round of precopy, from 1; 0 before the first. The last round runs with the guest stopped. Always 0 at a destination, which is
    /// not told.
    /// </summary>
    public int Round { get; init; }

    /// <summary>The bytes on all channels so far, headers included.</summary>
    public required long TransferredBytes { get; init; }

    /// <summary>The number of pages that were sent with their bytes so far, repetitions counted.</summary>
    public required long NormalPages { get; init; }

    /// <summary>The number of pages that were sent as zero pages so far, repetitions counted.</summary>
    public required long ZeroPages { get; init; }

    /// <summary>The number of pages that this round, or in postcopy the background, has still to send. Always 0 at a destination.</summary>
    public long RemainingPages { get; init; }

    /// <summary>
    /// Whether the migration has lost its link in postcopy. The source waits for <see cref="MigrationSource.ResumeAsync"/> then, and the
    /// destination waits for the source to come again.
    /// </summary>
    public bool IsPaused { get; init; }

    /// <summary>
    /// Whether a paused source tries a new link, after <see cref="MigrationSource.ResumeAsync"/>. Always false at a destination.
    /// </summary>
    public bool IsRecovering { get; init; }

    /// <summary>
    /// The reason for the loss of the link or, at a source, for the failure of the last attempt at a new one; null while there is a link.
    /// </summary>
    public string? PauseReason { get; init; }

    /// <summary>
    /// What the migration cannot go on without, for people, such as <c>3 of 4 multifd channels</c> that are missing; null while nothing is
    /// awaited.
    /// </summary>
    public string? WaitingFor { get; init; }

    /// <summary>Who has the guest at this moment.</summary>
    public GuestOwner Owner { get; init; }

    /// <summary>
    /// Whether a paused destination cannot know if its source waits or runs the guest again (<see cref="PostcopyPause.OwnershipUnknown"/>).
    /// The source's <c>query-migrate</c> tells: <c>failing</c> and <c>failed</c> mean that the guest runs there and that the source will
    /// not come again.
    /// </summary>
    public bool OwnershipUnknown { get; init; }

    /// <summary>The rate since the previous report, in bytes per second.</summary>
    public double BytesPerSecond { get; init; }

    /// <summary>
    /// The rate at which the guest dirtied its memory during the last complete round, in bytes per second. Always 0 at a destination.
    /// </summary>
    public double DirtyBytesPerSecond { get; init; }

    /// <summary>
    /// How long the guest would stand still if it were stopped after the last complete round; null before the end of the first round, and
    /// always null at a destination.
    /// </summary>
    public TimeSpan? ExpectedDowntime { get; init; }
}
