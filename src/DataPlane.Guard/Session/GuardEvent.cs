using DataPlane.Guard.Entrance;
using DataPlane.Guard.Relay;
using DataPlane.Wire;

namespace DataPlane.Guard.Session;

/// <summary>
/// An event that moves a guarded migration on. Events are taken one at a time. The number of each kind that can wait at once has a limit,
/// so that neither strangers nor a QEMU that its guest has taken over can fill the memory with them:
/// <code>
/// Admitted          waits in the admission, which has a limit        Status            MaxStatuses in all
/// RelayEnded        one for each relay                               MainStreamEnded   one at a time (MainStreamEnd.Heard)
/// Introduced        one at a time                                    HeldForLong       one for each set
/// ReturnPathNews    one of each kind for each link (FirstNews)       others            a few
/// </code>
/// </summary>
internal abstract record GuardEvent
{
    /// <summary>Closes what the event owns, because nobody will take it.</summary>
    public virtual void Drop()
    {
    }

    /// <summary>A connection has proved to be a channel.</summary>
    /// <param name="Channel">The channel; whoever handles the event owns it.</param>
    public sealed record Admitted(AdmittedChannel Channel) : GuardEvent
    {
        public override void Drop() => Channel.Dispose();
    }

    /// <summary>A relay is over.</summary>
    public sealed record RelayEnded(ChannelRelay Relay) : GuardEvent;

    /// <summary>The handshake of a TLS session with QEMU is over, or has failed.</summary>
    public sealed record Introduced(TlsIntroduced Session) : GuardEvent
    {
        public override void Drop() => Session.Drop();
    }

    /// <summary>A message of the return path has passed. Of each kind only the first of a link is reported.</summary>
    public sealed record ReturnPathNews(ReturnPathType Type, uint Value) : GuardEvent;

    /// <summary>QEMU has reported the status of its migration.</summary>
    public sealed record Status(string Text) : GuardEvent;

    /// <summary>The main stream seems to have ended at the time <c>At</c>, a timestamp of the clock.</summary>
    public sealed record MainStreamEnded(MainStreamEnd End, int Sighting, long At) : GuardEvent;

    /// <summary>A set that is not complete may have waited long enough for its other channels.</summary>
    public sealed record HeldForLong(int Set) : GuardEvent;

    /// <summary>QEMU, or its monitor, is gone.</summary>
    public sealed record MonitorEnded : GuardEvent;

    /// <summary>The guard is to end as soon as no migration is under way.</summary>
    public sealed record Retired : GuardEvent;

    /// <summary>A wait is over.</summary>
    public sealed record TimeUp(int Wait) : GuardEvent;

    /// <summary>Something has broken that ends the migration: a part of the guard, or the limit of what QEMU may send.</summary>
    public sealed record Broken(Exception Cause) : GuardEvent;
}
