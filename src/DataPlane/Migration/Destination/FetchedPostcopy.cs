using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using DataPlane.Transport;

namespace DataPlane.Migration.Destination;

/// <summary>
/// A postcopy whose guest runs nowhere until all of it is here (specification, 4-postcopy section 4.8).
/// <code>
///   the source is told (PONG) -> everything is fetched -> the host commits -> SHUT 0
/// </code>
/// Up to SHUT 0 the source, which keeps all of the guest, may have it back.
/// </summary>
/// <param name="custody">Decides who has the guest at which moment.</param>
/// <param name="notice">Tells the source.</param>
/// <param name="memory">Waits for the memory.</param>
/// <param name="commit">Takes the guest when all of it is here.</param>
/// <param name="phases">The phases of the migration.</param>
internal sealed class FetchedPostcopy(
    DestinationCustody custody, SourceNotice notice, PostcopyMemoryWait memory, GuestCommit commit, PhaseReporter phases) : IPostcopyStage
{
    /// <inheritdoc/>
    public async Task<MigrationReport> RunAsync(
        PostcopyReceiver receiver,
        Channel main,
        ArrivedStream arrived,
        PostcopySwitchover switchover,
        StallWatch? stall,
        CancellationToken cancellationToken)
    {
        phases.Enter(MigrationPhase.Postcopy);
        receiver.OutliveLinks();
        if (receiver.Source.IsOurs)
        {
            custody.On(DestinationEvent.FetchPromised);
        }

        if (notice.TryTellLoaded(receiver, main, switchover.Pings))
        {
            // From now on a source from QEMU 10.0 on can neither cancel nor let its guest run: it gets the guest back when it has sent
            // everything, not before.
            stall?.Dispose();
            receiver.Pull();
            await memory.RunAsync(receiver).ConfigureAwait(false);
        }
        else
        {
            // Sources up to QEMU 10.1 pause now and may come again at any later time, so no limit applies. Later ones run the guest and
            // never come.
            if (!receiver.Source.TakesBack)
            {
                stall?.Dispose();
            }

            receiver.Pull();
            await receiver.Completion.WaitAsync(cancellationToken).ConfigureAwait(false);
        }

        cancellationToken.ThrowIfCancellationRequested();
        receiver.Release();
        return await commit.RunAsync(receiver.Main ?? main, arrived).ConfigureAwait(false);
    }
}
