using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration.Destination;

/// <summary>
/// The stage that follows the switch to postcopy: <see cref="LivePostcopy"/> where the guest runs at once, <see cref="FetchedPostcopy"/>
/// where it is fetched first.
/// </summary>
internal interface IPostcopyStage
{
    /// <summary>Takes the guest over.</summary>
    /// <param name="receiver">Brings the memory.</param>
    /// <param name="main">The main channel of the first link.</param>
    /// <param name="arrived">What has come by precopy.</param>
    /// <param name="switchover">The switch to postcopy.</param>
    /// <param name="stall">
    /// The limit on a silent source, which ends where the guest can only be had by waiting; null if there is none.
    /// </param>
    /// <param name="cancellationToken">Ends the migration while the guest is the source's.</param>
    Task<MigrationReport> RunAsync(
        PostcopyReceiver receiver,
        Channel main,
        ArrivedStream arrived,
        PostcopySwitchover switchover,
        StallWatch? stall,
        CancellationToken cancellationToken);
}
