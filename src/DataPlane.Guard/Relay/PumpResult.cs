namespace DataPlane.Guard.Relay;

/// <summary>How one turn of a <see cref="RelayDirection"/> ended.</summary>
internal enum PumpResult
{
    /// <summary>Nothing more can move before a socket says so.</summary>
    Waiting,

    /// <summary>The turn was used up; there may be more to move.</summary>
    Busy,

    /// <summary>The sender has finished, everything has been handed on, and so has its end.</summary>
    Ended,

    /// <summary>The socket that was read from is broken.</summary>
    SourceLost,

    /// <summary>The socket that was written to takes no more.</summary>
    TargetLost,
}
