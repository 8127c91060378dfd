namespace DataPlane.Guard;

/// <summary>The state of a guarded VM at one moment. It is a copy and does not change.</summary>
public sealed record GuardSnapshot
{
    /// <summary>The VM's name, from the options.</summary>
    public required string Name { get; init; }

    /// <summary>The addresses on which the guard listens, with their actual ports; empty before it listens.</summary>
    public required IReadOnlyList<ChannelAddress> Listen { get; init; }

    /// <summary>The address on which QEMU listens; <see langword="null"/> before it is known.</summary>
    public required ChannelAddress? Qemu { get; init; }

    /// <summary>QEMU's version, such as 10.0.13; <see langword="null"/> before it is known, and always without a monitor.</summary>
    public required string? QemuVersion { get; init; }

    /// <summary>The state of the migration.</summary>
    public required GuardState State { get; init; }

    /// <summary>The reason of the failure in one line; <see langword="null"/> unless the migration has failed.</summary>
    public required string? Failure { get; init; }

    /// <summary>The channels of the migration: main, multifd by number, preempt; or its TLS sessions in the order of arrival.</summary>
    public required IReadOnlyList<GuardChannel> Channels { get; init; }

    /// <summary>The number of multifd channels that QEMU expects; 0 before it is known.</summary>
    public required int ExpectedMultifdChannels { get; init; }

    /// <summary>Whether QEMU expects a preempt channel; <see langword="false"/> before it is known.</summary>
    public required bool ExpectsPreempt { get; init; }

    /// <summary>The number of open connections that have not proved to be a channel: candidates and strangers alike.</summary>
    public required int Undecided { get; init; }

    /// <summary>The number of undecided connections that are silent and may yet prove to be the preempt channel.</summary>
    public required int Candidates { get; init; }

    /// <summary>The number of connections that were refused, by reason; every reason has an entry.</summary>
    public required IReadOnlyDictionary<RefusalReason, long> Refused { get; init; }
}
