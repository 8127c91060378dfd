namespace DataPlane;

/// <summary>The phases of a migration. A migration may skip a phase but never goes back to one.</summary>
public enum MigrationPhase
{
    /// <summary>The source connects its channels, and the destination waits for them.</summary>
    Connecting,

    /// <summary>The source sends header, configuration and the list of RAM blocks.</summary>
    Setup,

    /// <summary>The source sends rounds of pages while the guest runs there.</summary>
    Precopy,

    /// <summary>The guest stands still, and its last pages are sent.</summary>
    Switchover,

    /// <summary>The state of the guest's devices is saved and sent.</summary>
    DeviceState,

    /// <summary>The guest is handed over by postcopy, and its memory follows.</summary>
    Postcopy,

    /// <summary>The destination makes the guest its own; the source waits for SHUT.</summary>
    Commit,

    /// <summary>The guest is at the destination.</summary>
    Completed,
}
