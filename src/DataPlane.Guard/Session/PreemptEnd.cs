using DataPlane.Guard.Order;

namespace DataPlane.Guard.Session;

/// <summary>
/// Handles the end of a preempt channel that may never have carried a page, in front of a QEMU that needs that end.
/// <code>
/// main's stream has ended, and           a lone end that is held
/// no request is open                     is the preempt channel's, whichever connection sent it: nothing can come any more
/// requests are open (their pages mostly  is the preempt channel's as soon as no other connection of main's peer could still bring a page,
/// crossed with them on main)             or after UndecidedTimeout
/// </code>
/// </summary>
internal sealed class PreemptEnd(
    GuardedVmOptions options,
    QemuTarget target,
    SessionState state,
    CurrentLink current,
    GuardAdmissionHost host,
    PublicListener listener,
    SessionEvents events,
    TimeProvider time)
{
    private static readonly TimeSpan s_lookAgain = TimeSpan.FromMilliseconds(250);

    /// <summary>Returns what sees the end of a new link's main stream; null in front of a QEMU that needs no end.</summary>
    public MainStreamEnd? BeginLink()
    {
        var end = target.Preempt && host.TakesLoneEnd ? new MainStreamEnd(sighted => events.Post(SeenNow(sighted))) : null;
        host.MainEnd = end;
        host.AwaitsPages = true;
        return end;
    }

    /// <summary>
    /// Takes the news that the main stream has ended, and looks for a lone end that may be passed on. However often the end is seen, there
    /// is one such event: it is posted again after a while, and a newer sighting replaces its own.
    /// </summary>
    public void Take(GuardEvent.MainStreamEnded ended)
    {
        var end = ended.End;
        if (current.Link is not { UnusedPreempt: not null } link || link.MainEnd != end || !state.IsUnderWay)
        {
            end.Heard();
            return;
        }

        if (!end.HasCome)
        {
            end.Heard();
            end.TellIfMissed();
            return;
        }

        if (ended.Sighting != end.Sightings)
        {
            ended = SeenNow(end);
        }

        var isLate = time.GetElapsedTime(ended.At) >= options.UndecidedTimeout;
        host.AwaitsPages = !isLate && PagesMayCome(link);
        listener.Recheck();
        events.PostLater(ended, s_lookAgain);
    }

    private GuardEvent.MainStreamEnded SeenNow(MainStreamEnd end) => new(end, end.Sightings, time.GetTimestamp());

    /// <summary>Whether a connection that may be the preempt channel has not shown yet what it is.</summary>
    private bool PagesMayCome(GuardedLink link) =>
        options.AnyPeer ? listener.HasOpen(null) : link.Main.PeerGroup is { } source && listener.HasOpen(source);
}
