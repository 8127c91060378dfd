using DataPlane.Admission;
using DataPlane.Guard.Relay;

namespace DataPlane.Guard.Course;

/// <summary>
/// The end of a preempt channel that may never have carried a page, before a QEMU that must hear that end.
/// <code>
/// main's stream has ended, and           a lone end that is held
/// no request is open                     is the preempt channel's, whoever said it: nothing can come any more
/// requests are open (their pages mostly  is, as soon as no other connection of main's peer could still bring a page,
/// crossed with them on main)             or has not for as long as an undecided connection may take
/// </code>
/// </summary>
internal sealed partial class GuardCourse
{
    private static readonly TimeSpan s_lookAgain = TimeSpan.FromMilliseconds(250);

    private volatile MainStreamEnd? _mainEnd;

    private MainStreamEnd? NewMainEnd()
    {
        _mainEnd = _target.Preempt && _context.TakesLoneEnd
            ? new MainStreamEnd(PostEnd) : null;
        _context.MainEnd = _mainEnd;
        _context.AwaitsPages = true;
        return _mainEnd;
    }

    private void PostEnd(MainStreamEnd end) => Post(SeenNow(end));

    private GuardEvent.MainStreamEnded SeenNow(MainStreamEnd end) => new(end, end.Sightings, _time.GetTimestamp());

    /// <summary>
    /// One event lives as long as the end does, whatever number of times it is seen: it looks again after a while, and takes a newer
    /// sighting for its own.
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
        _context.AwaitsPages = !isLate && _door.Undecided.Any(MayBringPages);
        _door.Recheck();
        _ = PostLaterAsync(ended, s_lookAgain);
    }

    private bool MayBringPages(UndecidedInfo connection) =>
        connection.State != UndecidedState.Held && (_options.AnyPeer || AddressOf(connection.Peer) == AddressOf(_main?.Peer));

    /// <summary>Without the port.</summary>
    private static string? AddressOf(string? peer) => peer?.LastIndexOf(':') is >= 0 and var colon ? peer[..colon] : peer;
}
