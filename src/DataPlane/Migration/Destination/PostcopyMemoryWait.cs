using DataPlane.Migration.Custody;
using DataPlane.Postcopy;

namespace DataPlane.Migration.Destination;

/// <summary>Waits for the memory of a guest that is ours, or that is fetched from a source which counts it as given away.</summary>
/// <param name="custody">Who has the guest.</param>
/// <param name="pauses">Is told that no link will bring the rest.</param>
internal sealed class PostcopyMemoryWait(DestinationCustody custody, PostcopyPauses pauses)
{
    /// <exception cref="MigrationException">The destination was closed before the memory was complete.</exception>
    public async Task RunAsync(PostcopyReceiver receiver)
    {
        try
        {
            await receiver.Completion.ConfigureAwait(false);
        }
        catch (OperationCanceledException closed)
        {
            pauses.NoteLostLink();
            throw new MigrationException(
                FailureReason.GuestAtDestination,
                MigrationPhase.Postcopy,
                channel: null,
                $"the destination was closed while {receiver.Ledger.CountMissing()} pages of its guest were missing, "
                + "and its source does not let it go on",
                closed)
            {
                Owner = custody.Owner,
            };
        }
    }
}
