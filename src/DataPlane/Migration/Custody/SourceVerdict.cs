namespace DataPlane.Migration.Custody;

/// <summary>What follows for a source from something that it has learned or done.</summary>
internal enum SourceVerdict
{
    /// <summary>The migration goes on.</summary>
    GoOn,

    /// <summary>The migration is over, and the guest runs on here.</summary>
    RunHere,

    /// <summary>The guest stays stopped here, its pages are kept, and the migration can be resumed over a new link.</summary>
    Pause,

    /// <summary>The migration is over, and the destination has the guest.</summary>
    Completed,

    /// <summary>The migration is over without success, and the guest stays stopped here: the destination has it, or may have it.</summary>
    StayStopped,
}
