namespace DataPlane.Guard;

/// <summary>The state of a guarded VM's migration, as the guard sees it.</summary>
public enum GuardState
{
    /// <summary>The guard asks QEMU what it expects and makes it listen; the public addresses are not open yet.</summary>
    Preparing,

    /// <summary>The public addresses are open, and nothing has been handed to QEMU.</summary>
    Waiting,

    /// <summary>The channels have been handed to QEMU and are relayed; the guest runs at the source.</summary>
    Relaying,

    /// <summary>Postcopy has begun: QEMU runs the guest, or is about to, and asks the source for its pages.</summary>
    Postcopy,

    /// <summary>The link was lost in postcopy: the guest is at QEMU, and the source may connect again.</summary>
    Paused,

    /// <summary>The source has connected again, and works out with QEMU which pages are missing.</summary>
    Recovering,

    /// <summary>The migration ended with success.</summary>
    Completed,

    /// <summary>The migration has failed; <see cref="GuardSnapshot.Failure"/> tells why.</summary>
    Failed,

    /// <summary>The guard was stopped before the migration ended.</summary>
    Stopped,
}
