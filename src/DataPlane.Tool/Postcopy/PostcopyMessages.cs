namespace DataPlane.Tool.Postcopy;

/// <summary>What <c>dataplane postcopy</c> says to a running migration: one line of JSON.</summary>
internal sealed record PostcopyQuestion
{
    public const string CurrentSchema = "dataplane.postcopy_control/1";

    public const string Status = "status";
    public const string Pause = "pause";
    public const string Resume = "resume";

    public string? Schema { get; init; } = CurrentSchema;

    public required string Command { get; init; }

    /// <summary>With <see cref="Resume"/>: where the destination waits now; null for where it was.</summary>
    public string? Address { get; init; }
}

/// <summary>The answer, when the command has done what it can.</summary>
internal sealed record PostcopyAnswer
{
    public string? Schema { get; init; } = PostcopyQuestion.CurrentSchema;

    public required PostcopyStatus Migration { get; init; }

    /// <summary>Why it was not done; null when it was.</summary>
    public string? Error { get; init; }
}

/// <summary>A migration of <c>send --postcopy</c> or <c>receive --postcopy</c> as it is now.</summary>
internal sealed record PostcopyStatus
{
    /// <summary><c>send</c> or <c>receive</c>.</summary>
    public required string Command { get; init; }

    public required int Pid { get; init; }

    /// <summary>Where it is asked.</summary>
    public required string Control { get; init; }

    /// <summary>The saved VM.</summary>
    public required string File { get; init; }

    /// <summary>Where the destination waits, or waited last.</summary>
    public required string Address { get; init; }

    /// <summary>One of <see cref="PostcopyStates"/>.</summary>
    public required string State { get; init; }

    /// <summary>What ended the link, or the last attempt at a new one.</summary>
    public string? PauseReason { get; init; }

    /// <summary>How often the link was lost; attempts that failed do not count.</summary>
    public required int Pauses { get; init; }

    public required long TransferredBytes { get; init; }

    /// <summary>Pages that are to be sent still; the destination does not know, and without a link nobody does.</summary>
    public long? RemainingPages { get; init; }
}

/// <summary>States of a migration that may go over to postcopy.</summary>
internal static class PostcopyStates
{
    /// <summary>No channel yet.</summary>
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
