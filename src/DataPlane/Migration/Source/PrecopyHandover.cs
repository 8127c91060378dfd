using DataPlane.Migration.Custody;
using DataPlane.Transport;

namespace DataPlane.Migration.Source;

/// <summary>
/// Hands the guest over when all of its memory has been sent: stops it, sends what is left, and then the last byte of the stream.
/// <see cref="SourceCustody"/> decides who has the guest at which moment.
/// </summary>
/// <param name="plan">The guest, and who takes it over.</param>
/// <param name="link">The connections.</param>
/// <param name="sections">Sends the end of the memory.</param>
/// <param name="rounds">Sends the last round.</param>
/// <param name="stop">Stops the guest.</param>
/// <param name="answers">Tells that the memory has arrived.</param>
/// <param name="watch">Notices a destination that takes nothing.</param>
/// <param name="custody">Decides who has the guest.</param>
/// <param name="failure">Ends the hand-over up to the last byte.</param>
/// <param name="progress">Is told of each phase.</param>
internal sealed class PrecopyHandover(
    SourcePlan plan,
    MigrationLink link,
    RamSections sections,
    PrecopyRounds rounds,
    GuestStop stop,
    DestinationAnswers answers,
    SourceWatch watch,
    SourceCustody custody,
    SourceFailure failure,
    SourceProgress progress)
{
    /// <summary>
    /// Hands the guest over with its last pages, which are <paramref name="remaining"/>. Returns how long it stood still.
    /// </summary>
    public async Task<TimeSpan> RunAsync(GuestPageSet remaining)
    {
        await stop.StopAsync(rounds, remaining).ConfigureAwait(false);
        await SendMemoryAsync(remaining).ConfigureAwait(false);
        var lastByte = await SendDevicesAsync().ConfigureAwait(false);
        await watch.WaitAsync(answers.MemoryArrived, plan.Options.CommitTimeout).ConfigureAwait(false);
        // From here on nothing moves until the destination has committed; a time limit of its own covers that.
        watch.EndStallLimit();
        await SendLastByteAsync(lastByte).ConfigureAwait(false);
        var shut = await WaitForShutAsync().ConfigureAwait(false);
        var downtime = custody.StoodStillUntil(plan.Time.GetTimestamp());
        return custody.On(shut == 0 ? SourceEvent.ShutWithSuccess : SourceEvent.ShutWithFailure) == SourceVerdict.Completed ? downtime
            : throw SourceConnector.Refused(link.Main, shut);
    }

    private async Task SendMemoryAsync(GuestPageSet remaining)
    {
        using var watching = watch.WhileStopped();
        if (plan.Peer.TakesSwitchoverStart)
        {
            link.Writer.WriteSwitchoverStart();
        }

        await rounds.SendAsync(remaining).ConfigureAwait(false);
        await sections.EndMemoryAsync().ConfigureAwait(false);
    }

    /// <summary>Sends the device state and everything after it, except for the last byte, which is returned.</summary>
    private async Task<byte> SendDevicesAsync()
    {
        var devices = await stop.SaveDevicesAsync().ConfigureAwait(false);
        using var watching = watch.WhileStopped();
        var lastByte = link.Writer.WriteDeviceState(devices);
        await link.Writer.FlushAsync(failure.Stopped).ConfigureAwait(false);
        return lastByte;
    }

    private async Task SendLastByteAsync(byte lastByte)
    {
        failure.Stopped.ThrowIfCancellationRequested();
        if (custody.On(SourceEvent.LastByteBegins) != SourceVerdict.GoOn)
        {
            throw new OperationCanceledException();
        }

        await progress.EnterAsync(MigrationPhase.Commit).ConfigureAwait(false);
        link.Writer.WriteRaw([lastByte]);
        // If the kernel has not taken the byte when the time is over, it has never left, and the guest goes on here.
        using (PeerDeadline.Start(link.Main, plan.Options.CommitTimeout, "the last byte was to be sent", plan.Time))
        {
            await link.Writer.FlushAsync(CancellationToken.None).ConfigureAwait(false);
        }

        custody.On(SourceEvent.LastByteSent);
    }

    private async Task<uint> WaitForShutAsync()
    {
        var limit = plan.Options.CommitTimeout;
        try
        {
            return await link.ReturnPath.WaitAsync(limit, plan.Time).ConfigureAwait(false);
        }
        catch (Exception lost)
        {
            var why = lost is TimeoutException ? $"it sent none within {limit.TotalSeconds:0.###} s" : lost.Message;
            throw new ChannelException(
                FailureReason.OutcomeUnknown,
                link.Main.Name,
                $"the whole stream was sent, but the destination's SHUT is missing: {why}; the guest stays stopped here and may run there",
                lost);
        }
    }
}
