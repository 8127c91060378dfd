namespace DataPlane.Tool.Postcopy;

/// <summary>A question of <c>dataplane postcopy</c> to a running migration: one line of JSON.</summary>
internal sealed record PostcopyQuestion
{
    public const string CurrentSchema = "dataplane.postcopy_control/1";

    public const string Status = "status";
    public const string Pause = "pause";
    public const string Resume = "resume";

    public string? Schema { get; init; } = CurrentSchema;

    public required string Command { get; init; }

    /// <summary>With <see cref="Resume"/>: the address at which the destination waits now; null when it is the same as before.</summary>
    public string? Address { get; init; }
}

/// <summary>The answer of a migration, which is sent when the command has done what it can.</summary>
internal sealed record PostcopyAnswer
{
    public string? Schema { get; init; } = PostcopyQuestion.CurrentSchema;

    public required PostcopyStatus Migration { get; init; }

    /// <summary>Why the question's command was not done; null when it was.</summary>
    public string? Error { get; init; }
}

/// <summary>A migration of <c>send --postcopy</c> or <c>receive --postcopy</c> as it is now.</summary>
internal sealed record PostcopyStatus
{
    /// <summary><c>send</c> or <c>receive</c>.</summary>
    public required string Command { get; init; }

    public required int Pid { get; init; }

    /// <summary>The path of the migration's control socket.</summary>
    public required string Control { get; init; }

    /// <summary>The path of the saved VM.</summary>
    public required string File { get; init; }

    /// <summary>The address at which the destination waits, or waited last.</summary>
    public required string Address { get; init; }

    /// <summary>One of <see cref="PostcopyStates"/>.</summary>
    public required string State { get; init; }

    /// <summary>Why the link was lost, or the last attempt at a new one failed; null while there is a link.</summary>
    public string? PauseReason { get; init; }

    /// <summary>How often the link was lost. Attempts at a new link that failed do not count.</summary>
    public required int Pauses { get; init; }

    public required long TransferredBytes { get; init; }

    /// <summary>The pages that are still to be sent; null at a destination, which does not know them, and while there is no link.</summary>
    public long? RemainingPages { get; init; }
}

/// <summary>The states of a migration that may go over to postcopy.</summary>
internal static class PostcopyStates
{
    /// <summary>The migration has no channel yet.</summary>
    public const string Waiting = "waiting";

    /// <summary>The guest is at its source.</summary>
    public const string Precopy = "precopy";

    public const string Postcopy = "postcopy";
    public const string Paused = "paused";
    public const string Recovering = "recovering";

    /// <summary>The destination has failed and waits for a source that wants its guest back.</summary>
    public const string Returning = "returning";

    public const string Completed = "completed";
}
