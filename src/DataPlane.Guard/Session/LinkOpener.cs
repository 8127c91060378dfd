using DataPlane.Guard.Entrance;
using DataPlane.Guard.Relay;
using DataPlane.Guard.ReturnPath;
using Microsoft.Extensions.Logging;

namespace DataPlane.Guard.Session;

/// <summary>Opens a link to QEMU, whose main channel can be read.</summary>
internal sealed class LinkOpener(
    string name,
    CurrentLink current,
    IQemuEntrance entrance,
    GuardChannels channels,
    PageRequests requests,
    GuardAdmissionHost host,
    PublicListener listener,
    LossTiming loss,
    PreemptEnd preemptEnd,
    SessionEvents events,
    ILogger logger)
{
    /// <summary>Begins the next link with its main channel, which QEMU has not had yet.</summary>
    public GuardedLink Begin(ChannelRelay main, out RelayWatch watch)
    {
        var first = new FirstNews((type, value) => events.Post(new GuardEvent.ReturnPathNews(type, value)));
        var tap = new ReturnPathTap(
            requests, first.Take, JudgeHeldPages, type => GuardLog.UnknownMessage(logger, name, type), GoBlind);
        var end = preemptEnd.BeginLink();
        var link = new GuardedLink(main, tap, end);
        watch = new RelayWatch(tap, end, loss.NoticeFor(link));
        current.Link = link;
        return link;
    }

    /// <summary>Opens the preempt channel to QEMU, which needs the connection but no bytes on it; its client joins it later.</summary>
    /// <exception cref="Transport.ChannelException">QEMU cannot be reached.</exception>
    public async ValueTask OpenPreemptAsync(GuardedLink link, CancellationToken cancellationToken)
    {
        var preempt = await entrance.ReservePreemptAsync(cancellationToken).ConfigureAwait(false);
        link.Preempt = preempt;
        channels.Add(preempt);
    }

    /// <summary>
    /// Has held connections judged again: one may have brought the page that QEMU has just asked for. Runs on the relay's thread.
    /// </summary>
    private void JudgeHeldPages()
    {
        if (host.MayAnswerLostLink)
        {
            listener.Recheck();
        }
    }

    /// <summary>
    /// Notes that the return path is not understood any more. A page that was asked for cannot be told from another then, so a well-formed
    /// record must do. Runs on the relay's thread.
    /// </summary>
    private void GoBlind(string error)
    {
        GuardLog.ReturnPathLost(logger, name, error);
        host.IsBlind = true;
    }
}
