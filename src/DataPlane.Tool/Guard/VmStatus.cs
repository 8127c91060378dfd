namespace DataPlane.Tool.Guard;

/// <summary>The state of one guarded VM at one moment, for people, JSON and metrics alike.</summary>
internal sealed record VmStatus
{
    /// <summary>The guard looks for a QEMU that it can serve; the address is not open.</summary>
    public const string StatePreparing = "preparing";

    /// <summary>The address is open and no channel has been handed to QEMU.</summary>
    public const string StateWaiting = "waiting";

    public const string StateCompleted = "completed";

    public const string StateFailed = "failed";

    /// <summary>The guard was stopped before the migration ended.</summary>
    public const string StateStopped = "stopped";

    public required string Name { get; init; }

    /// <summary>QEMU's version; null where it is not known.</summary>
    public string? QemuVersion { get; init; }

    /// <summary>The address to which the source connects, with the real port once it is open.</summary>
    public required string Listen { get; init; }

    /// <summary>
    /// <c>preparing</c>, <c>waiting</c>, <c>relaying</c>, <c>postcopy</c>, <c>paused</c>, <c>recovering</c>, <c>completed</c>,
    /// <c>failed</c> or <c>stopped</c>.
    /// </summary>
    public required string State { get; init; }

    public IReadOnlyList<ChannelStatus> Channels { get; init; } = [];

    /// <summary>Connections that are not known to be a channel yet.</summary>
    public int Undecided { get; init; }

    /// <summary>The undecided connections that may still prove to be the preempt channel.</summary>
    public int Candidates { get; init; }

    /// <summary>The number of refused connections, by reason.</summary>
    public IReadOnlyDictionary<string, long> Refused { get; init; } = new Dictionary<string, long>();

    /// <summary>Migrations of this VM that the guard has seen complete.</summary>
    public int Completed { get; init; }

    /// <summary>Migrations of this VM that the guard has seen fail.</summary>
    public int Failed { get; init; }

    /// <summary>Why the last migration failed, and why the last attempt to guard the next one did; null when neither did.</summary>
    public string? Error { get; init; }

    /// <summary>Whether a migration is under way, so that this is no moment to stop the guard.</summary>
    public bool IsBusy() => State is not (StatePreparing or StateWaiting or StateCompleted or StateFailed or StateStopped);
}

/// <summary>One relayed channel. <c>in</c> is from the source to QEMU, <c>out</c> is the way back.</summary>
internal sealed record ChannelStatus
{
    /// <summary><c>main</c>, <c>multifd</c> or <c>preempt</c>.</summary>
    public required string Kind { get; init; }

    public required int Id { get; init; }

    /// <summary>The address of the client; absent for a preempt channel that is open to QEMU and has no client yet.</summary>
    public string? Peer { get; init; }

    /// <summary><c>held</c>, <c>open</c>, <c>half_closed</c> or <c>closed</c>.</summary>
    public required string State { get; init; }

    public required long InBytes { get; init; }

    public required long OutBytes { get; init; }

    public required double BytesPerSecond { get; init; }
}
