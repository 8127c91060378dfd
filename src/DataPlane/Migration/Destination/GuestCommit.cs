using DataPlane.Migration.Custody;
using DataPlane.Multifd;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration.Destination;

/// <summary>
/// The end of a migration whose guest has arrived as a whole, by precopy or fetched by postcopy: the host commits it, the source is told,
/// and the guest is started or the snapshot kept.
/// </summary>
/// <param name="guest">The host's part of the migration.</param>
/// <param name="custody">Decides who has the guest at which moment.</param>
/// <param name="stream">Knows whether the source hears what it is told.</param>
/// <param name="multifd">Must write no more when the guest is committed.</param>
/// <param name="notice">Tells the source.</param>
/// <param name="closing">Closes the channels.</param>
/// <param name="reports">Describes the completed migration.</param>
/// <param name="phases">The phases of the migration.</param>
/// <param name="logger">Takes the log events.</param>
internal sealed class GuestCommit(
    IIncomingGuest guest,
    DestinationCustody custody,
    IncomingMainStream stream,
    MultifdReceiver multifd,
    SourceNotice notice,
    ChannelClosing closing,
    DestinationReports reports,
    PhaseReporter phases,
    ILogger logger)
{
    public async Task<MigrationReport> RunAsync(Channel main, ArrivedStream arrived)
    {
        await CommitAsync(main, arrived).ConfigureAwait(false);
        return await StartAsync(main, reports.Complete(arrived)).ConfigureAwait(false);
    }

    private async Task CommitAsync(Channel main, ArrivedStream arrived)
    {
        multifd.CloseMemory(); // nothing may write to the memory while the host commits it
        if (custody.On(DestinationEvent.CommitBegins) != DestinationVerdict.GoOn)
        {
            throw new OperationCanceledException();
        }

        phases.Enter(MigrationPhase.Commit);
        await guest.CommitAsync(arrived.Devices, arrived.Pages, CancellationToken.None).ConfigureAwait(false);
        if (stream.IsReturnPathOpen)
        {
            try
            {
                await notice.SendSuccessAsync(main).ConfigureAwait(false);
            }
            catch (IOException failure) when (custody.IsSnapshot)
            {
                MigrationLog.SourceNotTold(logger, failure.Message); // the guest of a snapshot goes on at its source without SHUT 0, too
            }
            catch (IOException failure)
            {
                custody.On(DestinationEvent.SourceGone);
                throw new ChannelException(
                    FailureReason.OutcomeUnknown,
                    ChannelId.Main,
                    "the guest has arrived, but the source was gone before it could be told: it may run on there; nothing is started here "
                    + $"({failure.Message})",
                    failure);
            }
        }

        custody.On(DestinationEvent.SourceTold);
    }

    /// <summary>
    /// Starts the guest, or has the host keep a snapshot, without waiting for the source to close its channels: that time is no downtime.
    /// </summary>
    /// <returns><paramref name="report"/>, changed if the source has kept main open after SHUT 0.</returns>
    private async Task<MigrationReport> StartAsync(Channel main, MigrationReport report)
    {
        var ending = closing.RunAsync(main);
        try
        {
            if (custody.IsSnapshot)
            {
                await ((ISnapshotGuest)guest).KeepAsync(CancellationToken.None).ConfigureAwait(false);
            }
            else
            {
                await custody.StartAsync().ConfigureAwait(false);
            }
        }
        catch (Exception failure) when (custody.IsSnapshot)
        {
            throw new MigrationException(
                FailureReason.HostFailed, MigrationPhase.Completed, channel: null,
                $"the snapshot is complete, but its host could not keep it: {failure.Message}", failure)
            {
                Owner = GuestOwner.Source,
            };
        }
        catch (Exception failure)
        {
            throw DestinationReports.NotStarted(failure);
        }
        finally
        {
            await ending.ConfigureAwait(false);
        }

        // A source that has migrated its guest closes its channels at once. A source that replicates it (COLO, QEMU 11.0 and later) sends
        // the very same stream, and the difference shows only now: it keeps its end of main open and waits for a partner.
        return stream.IsReturnPathOpen && !custody.IsSnapshot && await ending.ConfigureAwait(false)
            ? report with { SourceStaysConnected = true, Owner = GuestOwner.Unknown }
            : report;
    }
}
