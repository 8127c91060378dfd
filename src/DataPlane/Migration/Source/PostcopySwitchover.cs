using DataPlane.Migration.Custody;
using DataPlane.Postcopy;
using DataPlane.Wire;

namespace DataPlane.Migration.Source;

/// <summary>
/// Goes over to postcopy, in which the guest goes before its memory (specification, 4-postcopy): prepares the destination, and stops the
/// guest. Up to the first byte of the package every failure gives the guest back.
/// </summary>
/// <param name="plan">The guest, and who takes it over.</param>
/// <param name="link">The connections.</param>
/// <param name="connector">Opens the preempt channel where that is due now.</param>
/// <param name="stop">Stops the guest.</param>
/// <param name="sender">Sends the memory afterwards.</param>
/// <param name="answers">Tells that what was announced has arrived.</param>
/// <param name="watch">Notices a destination that does not answer.</param>
/// <param name="custody">Decides who has the guest.</param>
/// <param name="failure">Ends the switch up to the package.</param>
internal sealed class PostcopySwitchover(
    SourcePlan plan,
    MigrationLink link,
    SourceConnector connector,
    GuestStop stop,
    PostcopySender sender,
    DestinationAnswers answers,
    SourceWatch watch,
    SourceCustody custody,
    SourceFailure failure)
{
    /// <summary>
    /// How long the destination may take for its first answer, without which the guest is not handed over (4-postcopy 4.10).
    /// </summary>
    private static readonly TimeSpan s_answerTimeout = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Prepares everything up to the package, whose devices it returns. When it returns, the guest has been given away: nobody starts it
    /// again here, whatever happens.
    /// </summary>
    /// <param name="rounds">Has tracked what the guest wrote.</param>
    /// <param name="remaining">The pages that are left to send; with those that the guest wrote last, they follow the guest.</param>
    public async Task<DeviceState> RunAsync(PrecopyRounds rounds, GuestPageSet remaining)
    {
        await watch.WaitAsync(sender.Answered, s_answerTimeout).ConfigureAwait(false);
        await connector.ConnectPreemptAsync(PreemptTiming.AtSwitch).ConfigureAwait(false);
        var announced = await DiscardAheadAsync(remaining).ConfigureAwait(false);
        await stop.StopAsync(rounds, remaining).ConfigureAwait(false);
        if (plan.Peer.TakesSwitchoverStart)
        {
            link.Writer.WriteSwitchoverStart();
        }

        var devices = await stop.SaveDevicesAsync().ConfigureAwait(false);
        sender.HostPages.Widen(remaining);
        WriteDiscards(remaining, announced);
        await link.Writer.FlushAsync(failure.Stopped).ConfigureAwait(false);
        sender.Prepare(link.Main, link.Preempt, remaining, plan.Guest.PagesHoldingData);
        failure.Stopped.ThrowIfCancellationRequested();
        return custody.On(SourceEvent.PackageBegins) == SourceVerdict.GoOn ? devices : throw new OperationCanceledException();
    }

    /// <summary>
    /// Sends the DISCARDs for most of the pages ahead, while the guest still runs: what it has written so far is known already, and the
    /// time that the destination takes to give these pages up is not downtime then. After this, the guest stands still for no more than
    /// what is still in the sockets. The PINGs around them tell a destination of ours that the guest has not stopped. Returns the pages
    /// that were announced; null if the guest stands still anyway or there is nothing to announce.
    /// </summary>
    private async Task<GuestPageSet?> DiscardAheadAsync(GuestPageSet remaining)
    {
        if (!plan.Guest.IsRunning || remaining.CountSet() == 0)
        {
            return null;
        }

        sender.HostPages.Widen(remaining);
        var announced = new GuestPageSet(remaining.Memory);
        announced.UnionWith(remaining);
        link.Writer.WritePing(PostcopyDiscard.AheadPing);
        PostcopyCommands.WriteRanges(link.Main.Output, announced);
        link.Writer.WritePing(DestinationAnswers.MemoryPing);
        await link.Writer.FlushAsync(failure.Stopped).ConfigureAwait(false);
        await watch.WaitAsync(answers.MemoryArrived, plan.Options.CommitTimeout).ConfigureAwait(false);
        return announced;
    }

    private void WriteDiscards(GuestPageSet remaining, GuestPageSet? announced)
    {
        if (announced is null)
        {
            PostcopyCommands.WriteDiscards(link.Main.Output, remaining, sender.HostPages);
            return;
        }

        var written = new GuestPageSet(remaining.Memory);
        written.UnionWith(remaining);
        written.ExceptWith(announced);
        PostcopyCommands.WriteRanges(link.Main.Output, written);
    }
}
