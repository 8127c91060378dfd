using DataPlane.Admission;
using DataPlane.Guard.Relay;
using DataPlane.Wire;

namespace DataPlane.Guard.Course;

/// <summary>Something that moves a guarded migration on. One at a time, in the order in which they happened.</summary>
internal abstract record GuardEvent
{
    /// <summary>A connection proved to be a channel.</summary>
    /// <param name="Channel">The channel; whoever handles the event owns it.</param>
    internal sealed record Admitted(AdmittedChannel Channel) : GuardEvent;

    /// <summary>A relay is over.</summary>
    internal sealed record RelayEnded(ChannelRelay Relay) : GuardEvent;

    /// <summary>A TLS session is through its handshake with QEMU, or will never be.</summary>
    internal sealed record Introduced(TlsIntroduced Session) : GuardEvent;

    /// <summary>A message of the return path passed; of page requests only the first of a connection.</summary>
    internal sealed record ReturnPathNews(ReturnPathType Type, uint Value) : GuardEvent;

    /// <summary>QEMU says where its migration stands.</summary>
    internal sealed record Status(string Text) : GuardEvent;

    /// <summary>The main channel seems to have said everything, since that time.</summary>
    internal sealed record MainStreamEnded(MainStreamEnd End, int Sighting, long At) : GuardEvent;

    /// <summary>A set that is not complete may have waited for its other channels for long enough.</summary>
    internal sealed record HeldForLong(int Set) : GuardEvent;

    /// <summary>QEMU, or its monitor, is gone.</summary>
    internal sealed record MonitorEnded : GuardEvent;

    /// <summary>The guard is to end as soon as no migration is under way.</summary>
    internal sealed record Retired : GuardEvent;

    /// <summary>A wait has lasted long enough.</summary>
    internal sealed record TimeUp(int Wait) : GuardEvent;

    /// <summary>Part of the guard itself broke.</summary>
    internal sealed record Broken(Exception Cause) : GuardEvent;
}
