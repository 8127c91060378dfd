using DataPlane.Postcopy;
using DataPlane.Transport;
using Microsoft.Extensions.Logging;

namespace DataPlane.Migration.Destination;

/// <summary>Tells the source what decides about its guest: that the devices are loaded (PONG), and SHUT at the end.</summary>
/// <param name="stream">The return path of precopy.</param>
/// <param name="postcopy">The return path from the switch to postcopy on.</param>
/// <param name="proof">Is told when the source is told that its guest is here.</param>
/// <param name="limit">How long the source may take nothing.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Takes the log events.</param>
internal sealed class SourceNotice(
    IncomingMainStream stream, IncomingPostcopy postcopy, HandoverProof proof, TimeSpan limit, TimeProvider time, ILogger logger)
{
    /// <summary>Sends SHUT 0 before the guest is started here.</summary>
    /// <exception cref="IOException">The source is gone, so that nobody can know whether it runs the guest.</exception>
    public Task SendSuccessAsync(Channel main) => SendShutAsync(success: true, main, limit);

    /// <summary>
    /// Sends SHUT on the present main channel, and aborts <paramref name="main"/> if that takes longer than <paramref name="timeout"/>.
    /// </summary>
    public async Task SendShutAsync(bool success, Channel main, TimeSpan timeout)
    {
        using var deadline = PeerDeadline.Start(main, timeout, "it was to be sent SHUT", time);
        if (postcopy.Listening is { } receiver)
        {
            receiver.ReturnPath.SendShut(success);
        }
        else
        {
            await stream.SendShutAsync(success).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Sends SHUT 0 for a guest that runs here already; without it the source may run the guest a second time. Returns false if the source
    /// was gone; the guest is here all the same.
    /// </summary>
    public bool TrySendSuccess(PostcopyReceiver receiver, Channel main)
    {
        using var deadline = PeerDeadline.Start(main, limit, "it was to be sent SHUT", time);
        try
        {
            receiver.ReturnPath.SendShut(success: true);
            return true;
        }
        catch (ChannelException lost)
        {
            MigrationLog.SourceNotTold(logger, lost.Message);
            return false;
        }
    }

    /// <summary>Answers the PINGs of the package, whereupon the source gives the guest up. Returns false if the source is gone.</summary>
    public bool TryTellLoaded(PostcopyReceiver receiver, Channel main, IReadOnlyList<uint> pings)
    {
        using var deadline = PeerDeadline.Start(main, limit, "it was to be told that its guest has been loaded", time);
        try
        {
            proof.Tell(receiver.Source);
            foreach (var ping in pings)
            {
                receiver.ReturnPath.SendPong(ping);
            }

            proof.Told(receiver.Ledger.Open());
            return true;
        }
        catch (ChannelException)
        {
            return false;
        }
    }
}
