using DataPlane.MainStream;
using DataPlane.Multifd;
using DataPlane.Postcopy;
using DataPlane.Transport;
using DataPlane.Wire;

namespace DataPlane.Migration.Source;

/// <summary>
/// Connects main first and sends its header, for which destinations from 8.0 on wait, then connects all multifd channels at once, each with
/// its init packet. Every destination understands this order (1-channels section 1.7).
/// </summary>
/// <param name="plan">What is migrated, and to whom.</param>
/// <param name="dialer">Connects each channel.</param>
/// <param name="links">Gets the link as soon as main is connected.</param>
/// <param name="answers">Is told what comes on the return path of a source that cannot go over to postcopy.</param>
/// <param name="postcopy">Reads the return path of a source that can; null for the others.</param>
/// <param name="failure">Ends the connecting, and is told why the destination ends the migration.</param>
/// <param name="pool">Gives the blocks for init packets.</param>
internal sealed class SourceConnector(
    SourcePlan plan,
    LinkDialer dialer,
    SourceLinks links,
    DestinationAnswers answers,
    PostcopySender? postcopy,
    SourceFailure failure,
    BlockPool pool)
{
    /// <summary>
    /// What it may mean if the destination closes main before its first message. QEMU checks our certificate after the handshake and sends
    /// no alert: it just closes, as it does when it reads the name of another machine.
    /// </summary>
    private string IfSilent => plan.Options.Tls switch
    {
        null => "it may expect TLS, or be another machine",
        { Certificate: null } => "it may demand a certificate, and we have none",
        _ => "it may have refused our certificate, or be another machine",
    };

    /// <param name="work">Is told that connecting main has a limit of its own.</param>
    public async Task<MigrationLink> ConnectAsync(HostWork work)
    {
        Channel main;
        using (work.Begin()) // the dialler has its own time limit and error messages
        {
            main = await dialer.DialMainAsync(plan.Destination, failure.Stopped).ConfigureAwait(false);
        }

        // It listens before anything is sent: if the sending fails, the return path has the destination's reason.
        var link = new MigrationLink(main, links.Link, ListenAsync(main), plan.Time.GetTimestamp());
        links.Use(link);
        WriteOpening(link);
        await link.Writer.FlushAsync(failure.Stopped).ConfigureAwait(false);
        await ConnectPreemptAsync(PreemptTiming.WithMain).ConfigureAwait(false);
        await Task.WhenAll(Enumerable.Range(0, plan.Options.MultifdChannels).Select(ConnectMultifdAsync)).ConfigureAwait(false);
        return link;
    }

    /// <summary>Connects the preempt channel of the present link if this is the moment for it.</summary>
    public async Task ConnectPreemptAsync(PreemptTiming now)
    {
        if (postcopy?.OpensPreempt(now) == true)
        {
            await dialer.DialPreemptAsync(plan.Destination, failure.Stopped).ConfigureAwait(false);
        }
    }

    private void WriteOpening(MigrationLink link)
    {
        var guest = plan.Guest;
        link.Writer.WriteHeader(new ConfigurationSection
        {
            MachineName = guest.MachineName,
            Uuid = guest.ValidatesUuid ? guest.Uuid : null,
            TargetPageBits = guest.AnnouncesTargetPageSize ? TargetPage.Shift : null,
        });
        link.Writer.WriteOpenReturnPath();
        link.Writer.WritePing(DestinationAnswers.OpeningPing);
        if (postcopy is not null)
        {
            PostcopyCommands.WriteAdvise(link.Main.Output, postcopy.HostPages);
        }
    }

    private async Task ConnectMultifdAsync(int number)
    {
        var channel = await dialer.DialMultifdAsync(plan.Destination, number, failure.Stopped).ConfigureAwait(false);
        MultifdSender.Introduce(channel, plan.Guest.Uuid, (byte)number, pool);
    }

    /// <summary>
    /// Reads the destination's messages beside everything else. A SHUT before the end of our stream, or the end of the channel, fails the
    /// migration at once.
    /// </summary>
    private async Task<uint> ListenAsync(Channel main)
    {
        try
        {
            var shut = await (postcopy is null
                ? new ReturnPathReader(
                    new StreamCursor(main.OpenReader(cancellable: true), main.Id), answers.OnPong, answers.OnVmStarted, IfSilent)
                    .ReadToShutAsync(failure.Stopped)
                : postcopy.Listen(main, IfSilent)).ConfigureAwait(false);
            failure.CallOff(shut == 0
                ? ChannelException.Violation(main.Name, "the destination reported success before the end of the stream")
                : Refused(main, shut));
            return shut;
        }
        catch (Exception lost) when (lost is not OperationCanceledException)
        {
            // Where this process has no descriptor or no thread to begin a return path, nobody would hear the destination.
            failure.CallOff(lost as ChannelException
                ?? new ChannelException(FailureReason.LocalFailure, main.Id, $"the return path cannot be read: {lost.Message}", lost));
            throw;
        }
    }

    /// <summary>The failure of a migration whose destination has answered with <paramref name="shut"/>, which is not 0.</summary>
    public static ChannelException Refused(Channel main, uint shut) =>
        new(FailureReason.PeerRefused, main.Name, $"the destination reported that it failed (SHUT {shut}); its own log says why");
}
