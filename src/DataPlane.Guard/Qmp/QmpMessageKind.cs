namespace DataPlane.Guard.Qmp;

/// <summary>What a line of a monitor is.</summary>
internal enum QmpMessageKind
{
    /// <summary>Nothing that we have asked for, or know.</summary>
    Other,

    /// <summary>The first line, with version and capabilities.</summary>
    Greeting,

    /// <summary>News that nobody has asked for.</summary>
    Event,

    /// <summary>What a command has returned, or its error.</summary>
    Answer,
}
