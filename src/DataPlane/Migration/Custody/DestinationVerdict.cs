namespace DataPlane.Migration.Custody;

/// <summary>What follows for a destination from something that it has learned or done.</summary>
internal enum DestinationVerdict
{
    /// <summary>The migration goes on.</summary>
    GoOn,

    /// <summary>The migration is over, and the host lets go of what it has made: the guest does not run here.</summary>
    LetGo,

    /// <summary>The migration has failed, and the guest stays here all the same: it is nowhere else.</summary>
    Keep,
}
