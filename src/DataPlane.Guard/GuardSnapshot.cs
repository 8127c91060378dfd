using DataPlane.Admission;
using DataPlane.Transport;

namespace DataPlane.Guard;

/// <summary>A guarded VM at one moment. A copy: it does not change.</summary>
public sealed record GuardSnapshot
{
    /// <summary>The VM's name, from the options.</summary>
    public required string Name { get; init; }

    /// <summary>Where the guard listens, with real ports.</summary>
    public required IReadOnlyList<ChannelAddress> Listen { get; init; }

    /// <summary>Where QEMU listens; <see langword="null"/> before that is known.</summary>
    public required ChannelAddress? Qemu { get; init; }

    /// <summary>QEMU's version, such as 10.0.13; <see langword="null"/> where nobody has said it.</summary>
    public required string? QemuVersion { get; init; }

    /// <summary>Where the migration stands.</summary>
    public required GuardState State { get; init; }

    /// <summary>Why the migration failed, in one line; <see langword="null"/> unless it did.</summary>
    public required string? Failure { get; init; }

    /// <summary>The channels of the migration: main, multifd by number, preempt.</summary>
    public required IReadOnlyList<GuardChannel> Channels { get; init; }

    /// <summary>Multifd channels that QEMU expects.</summary>
    public required int ExpectedMultifdChannels { get; init; }

    /// <summary>Whether QEMU expects a preempt channel.</summary>
    public required bool ExpectsPreempt { get; init; }

    /// <summary>Connections that are open and have not proved to be a channel: candidates and strangers alike.</summary>
    public required int Undecided { get; init; }

    /// <summary>Of them, those of the main channel's own peer address: any may yet prove to be the preempt channel.</summary>
    public required int Candidates { get; init; }

    /// <summary>Connections that were refused, by reason; every reason is there.</summary>
    public required IReadOnlyDictionary<RefusalReason, long> Refused { get; init; }
}
