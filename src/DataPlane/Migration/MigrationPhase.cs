namespace DataPlane.Migration;

/// <summary>Where a migration is. Phases only advance.</summary>
public enum MigrationPhase
{
    /// <summary>Source: connecting its channels. Destination: waiting for them.</summary>
    Connecting,

    /// <summary>Header, configuration and the list of RAM blocks.</summary>
    Setup,

    /// <summary>Rounds of pages while the guest runs at the source.</summary>
    Precopy,

    /// <summary>The guest stands still: last pages.</summary>
    Switchover,

    /// <summary>Device state.</summary>
    DeviceState,

    /// <summary>The guest is handed over and its memory follows.</summary>
    Postcopy,

    /// <summary>The destination makes the guest its own; the source waits for its word.</summary>
    Commit,

    /// <summary>The guest is at the destination.</summary>
    Completed,
}
