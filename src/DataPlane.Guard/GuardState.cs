namespace DataPlane.Guard;

/// <summary>Where a guarded VM's migration stands, as the guard sees it.</summary>
public enum GuardState
{
    /// <summary>QEMU is being asked and told to listen; the public address is not open yet.</summary>
    Preparing,

    /// <summary>The public address is open; nothing has been handed to QEMU.</summary>
    Waiting,

    /// <summary>The channels are handed to QEMU and relayed; the guest runs at the source.</summary>
    Relaying,

    /// <summary>QEMU runs the guest, or is about to, and asks the source for its pages.</summary>
    Postcopy,

    /// <summary>The link was lost in postcopy: the guest is at QEMU, and the source may connect again.</summary>
    Paused,

    /// <summary>The source has connected again; QEMU and it agree on what is missing.</summary>
    Recovering,

    /// <summary>The migration ended with success.</summary>
    Completed,

    /// <summary>The migration ended otherwise; <see cref="GuardSnapshot.Failure"/> says how.</summary>
    Failed,

    /// <summary>The guard was stopped before the migration ended.</summary>
    Stopped,
}
