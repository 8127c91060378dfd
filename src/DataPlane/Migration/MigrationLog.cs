using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration;

/// <summary>Log events of floor 5: 5001 to 5099. Retired ids are never used again.</summary>
internal static partial class MigrationLog
{
    [LoggerMessage(5001, LogLevel.Information,
        "migrating {RamBytes} bytes of RAM to {Destination} over {MultifdChannels} multifd channels")]
    public static partial void Starting(ILogger logger, string destination, int multifdChannels, long ramBytes);

    [LoggerMessage(5002, LogLevel.Information, "phase {Phase}")]
    public static partial void Phase(ILogger logger, MigrationPhase phase);

    [LoggerMessage(5003, LogLevel.Information,
        "round {Round}: {Pages} pages in {Elapsed}, {Remaining} pages dirtied meanwhile, expected downtime {ExpectedDowntime}")]
    public static partial void Round(ILogger logger, int round, long pages, TimeSpan elapsed, long remaining, TimeSpan expectedDowntime);

    [LoggerMessage(5004, LogLevel.Information, "completed in {Duration}, downtime {Downtime}, {Rounds} rounds, {Bytes} bytes")]
    public static partial void Completed(ILogger logger, TimeSpan duration, TimeSpan downtime, int rounds, long bytes);

    [LoggerMessage(5005, LogLevel.Warning, "cancelled in phase {Phase}; the guest runs on here")]
    public static partial void Cancelled(ILogger logger, MigrationPhase phase);

    [LoggerMessage(5006, LogLevel.Error, "failed ({Reason}): {Message}")]
    public static partial void Failed(ILogger logger, FailureReason reason, string message);

    [LoggerMessage(5007, LogLevel.Information, "waiting for a migration with {MultifdChannels} multifd channels on {Addresses}")]
    public static partial void Listening(ILogger logger, string addresses, int multifdChannels);

    [LoggerMessage(5008, LogLevel.Information, "channel {Channel} from {Peer}")]
    public static partial void ChannelAdmitted(ILogger logger, string channel, string peer);

    [LoggerMessage(5009, LogLevel.Error, "{Count} memory blocks were not given back: {Owners}")]
    public static partial void BlocksKept(ILogger logger, int count, string owners);

    [LoggerMessage(5010, LogLevel.Error, "a step of the teardown failed, the others were taken: {Message}")]
    public static partial void TeardownFailed(ILogger logger, string message, Exception failure);

    [LoggerMessage(5020, LogLevel.Warning, "the destination's {What} has not come for {Time}; waiting on, the guest may run there")]
    public static partial void StillWaiting(ILogger logger, string what, TimeSpan time);

    [LoggerMessage(5030, LogLevel.Warning,
        "the guest and all of its memory are here, but the source was gone before it could be told; it may run the guest again: {Reason}")]
    public static partial void SourceNotTold(ILogger logger, string reason);

    [LoggerMessage(5031, LogLevel.Warning,
        "the guest has not started here; if its source is a QEMU that says postcopy-paused, only a return of its guest lets it go on")]
    public static partial void SourceMayStandStill(ILogger logger);

    [LoggerMessage(5032, LogLevel.Information, "the guest was given back to its source, {Peer}")]
    public static partial void GuestReturned(ILogger logger, string peer);

    [LoggerMessage(5033, LogLevel.Warning,
        "{Peer} was given the guest back and is not where main came from: it may be a stranger, so the source is waited for")]
    public static partial void GuestReturnedElsewhere(ILogger logger, string peer);

    [LoggerMessage(5021, LogLevel.Warning,
        "the link is lost in postcopy ({Cause}); the guest's memory is kept until the migration is resumed")]
    public static partial void LinkLost(ILogger logger, string cause);

    [LoggerMessage(5022, LogLevel.Information, "resumed over {Destination}, {Pages} pages left")]
    public static partial void Resumed(ILogger logger, string destination, long pages);

    [LoggerMessage(5023, LogLevel.Information, "the destination says that the guest runs there (VM_STARTED)")]
    public static partial void VmStarted(ILogger logger);

    [LoggerMessage(5024, LogLevel.Debug, "SWITCHOVER_ACK sent, as machine type {Machine} may wait for it")]
    public static partial void SwitchoverAckSent(ILogger logger, string machine);

    /// <summary>
    /// Logs the blocks that a migration has not given back at its end. It must hold none then, so each of them is a fault of ours.
    /// </summary>
    public static void CheckReturned(ILogger logger, BlockPool pool)
    {
        if (pool.OutstandingBlocks > 0)
        {
            var owners = pool.OutstandingOwners;
            BlocksKept(logger, owners.Count, string.Join(", ", owners));
        }
    }
}
