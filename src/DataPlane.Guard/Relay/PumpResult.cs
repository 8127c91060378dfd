namespace DataPlane.Guard.Relay;

/// <summary>How one turn of a <see cref="RelayDirection"/> ended.</summary>
internal enum PumpResult
{
    /// <summary>Nothing more can move before a socket becomes ready.</summary>
    Waiting,

    /// <summary>The turn is used up, and there may be more to move.</summary>
    Busy,

    /// <summary>The sender has finished, and all its bytes and its end have been handed on.</summary>
    Ended,

    /// <summary>The socket that was read from is broken.</summary>
    SourceLost,

    /// <summary>The socket that was written to takes no more.</summary>
    TargetLost,
}
