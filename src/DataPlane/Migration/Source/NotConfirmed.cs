using DataPlane.Transport;

namespace DataPlane.Migration.Source;

/// <summary>
/// The failure of a migration that ends after its guest was given away, and before all of its memory is known to be there.
/// </summary>
internal static class NotConfirmed
{
    public static MigrationException Because(string why, GuestOwner owner, MigrationPhase phase, Exception? cause)
    {
        var (reason, what) = owner == GuestOwner.Destination
            ? (FailureReason.GuestAtDestination,
                $"the guest runs at the destination, but not all of its memory is known to be there: {why}; it stays stopped here")
            : (FailureReason.OutcomeUnknown,
                $"the guest was handed over, but the destination did not confirm that it runs: {why}; "
                    + "it stays stopped here and may run there");
        return new MigrationException(reason, phase, ChannelId.Main.ToString(), what, cause) { Owner = owner };
    }
}
