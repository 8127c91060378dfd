using DataPlane.Wire;

namespace DataPlane.Guard.ReturnPath;

/// <summary>
/// Lets the first message of each kind on a connection through, among the kinds that move a migration on. A QEMU that its guest has taken
/// over may repeat them as fast as the socket carries them, and each would take memory until it is handled.
/// </summary>
/// <param name="news">Called with these messages, on the relay's thread.</param>
internal sealed class FirstNews(Action<ReturnPathType, uint> news)
{
    /// <summary>The number of the first PONG that belongs to the switchover.</summary>
    public const uint PostcopyDiscards = 2;

    private uint _told;

    public void Take(ReturnPathType type, uint value)
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
