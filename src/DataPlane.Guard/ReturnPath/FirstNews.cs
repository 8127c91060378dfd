using DataPlane.Wire;

namespace DataPlane.Guard.ReturnPath;

/// <summary>
/// Of each kind of message that moves a migration on, lets the first one of a connection through: a QEMU that its guest has taken over may
/// repeat them as fast as the socket carries them, and each would take memory until the course of the migration gets to it.
/// </summary>
/// <param name="news">Told of those. On the relay's thread.</param>
internal sealed class FirstNews(Action<ReturnPathType, uint> news)
{
    /// <summary>The first PONG that belongs to the switchover.</summary>
    internal const uint PostcopyDiscards = 2;

    private uint _told;

    internal void Take(ReturnPathType type, uint value)
    {
        var matters = type is ReturnPathType.Shut or ReturnPathType.ResumeAck or ReturnPathType.RequestPages
            or ReturnPathType.RequestPagesWithName || (type == ReturnPathType.Pong && value >= PostcopyDiscards);
        var kind = 1u << (int)type;
        if (!matters || (_told & kind) != 0)
        {
            return;
        }

        _told |= kind;
        news(type, value);
    }
}
