using DataPlane.Guard.Relay;

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
internal sealed partial class GuardSession
{
    private static readonly TimeSpan s_lookAgain = TimeSpan.FromMilliseconds(250);

    private volatile MainStreamEnd? _mainEnd;

    private MainStreamEnd? NewMainEnd()
    {
        _mainEnd = _target.Preempt && _host.TakesLoneEnd
            ? new MainStreamEnd(PostEnd) : null;
        _host.MainEnd = _mainEnd;
        _host.AwaitsPages = true;
        return _mainEnd;
    }

    private void PostEnd(MainStreamEnd end) => Post(SeenNow(end));

    private GuardEvent.MainStreamEnded SeenNow(MainStreamEnd end) => new(end, end.Sightings, _time.GetTimestamp());

    /// <summary>
    /// Takes the news that the main stream has ended, and looks for a lone end that may be passed on. However often the end is seen, there
    /// is one such event: it is posted again after a while, and a newer sighting replaces its own.
    /// </summary>
    private void TakeMainStreamEnd(GuardEvent.MainStreamEnded ended)
    {
        var end = ended.End;
        if (end != _mainEnd || _preempt is not { Client: null, Ending: RelayEnding.None }
            || State is not (GuardState.Relaying or GuardState.Postcopy or GuardState.Recovering))
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

        var isLate = _time.GetElapsedTime(ended.At) >= _options.UndecidedTimeout;
        _host.AwaitsPages = !isLate && PagesMayCome();
        _listener.Recheck();
        _ = PostLaterAsync(ended, s_lookAgain);
    }

    /// <summary>Whether a connection that may be the preempt channel has not shown yet what it is.</summary>
    private bool PagesMayCome() =>
        _options.AnyPeer ? _listener.HasOpen(null) : _main?.PeerGroup is { } source && _listener.HasOpen(source);
}
