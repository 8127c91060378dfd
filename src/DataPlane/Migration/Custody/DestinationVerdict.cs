namespace DataPlane.Migration.Custody;

/// <summary>What follows for a destination from something that it has learned or done.</summary>
internal enum DestinationVerdict
{
    /// <summary>The migration goes on.</summary>
    GoOn,

    /// <summary>The migration is over, and the host abandons what it has created: the guest does not run here.</summary>
    LetGo,

    /// <summary>The migration has failed, but the guest stays here, because it is nowhere else.</summary>
    Keep,
}
