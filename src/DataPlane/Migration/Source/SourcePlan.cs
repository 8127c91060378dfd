using DataPlane.Wire;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration.Source;

/// <summary>What is migrated, how, and to whom. Nothing in it changes during the migration.</summary>
/// <param name="Guest">The guest, and the host's part of the migration.</param>
/// <param name="Options">How the guest is sent.</param>
/// <param name="Destination">The address to which all channels go first.</param>
/// <param name="Logger">The log.</param>
/// <param name="Time">The clock.</param>
internal sealed record SourcePlan(
    IMigratableGuest Guest, MigrationSourceOptions Options, ChannelAddress Destination, ILogger Logger, TimeProvider Time)
{
    /// <summary>What is known of the destination.</summary>
    public QemuCompatibility Peer { get; } =
        QemuCompatibility.Of(Options.DestinationMachineType ?? Guest.MachineName, Options.DestinationQemuVersion);
}
