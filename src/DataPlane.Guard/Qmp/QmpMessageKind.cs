namespace DataPlane.Guard.Qmp;

/// <summary>The kind of a monitor's line.</summary>
internal enum QmpMessageKind
{
    /// <summary>A line that the guard does not know.</summary>
    Other,

    /// <summary>The greeting: the first line, with version and capabilities.</summary>
    Greeting,

    /// <summary>An event, which QEMU sends without being asked.</summary>
    Event,

    /// <summary>The answer to a command: its result or its error.</summary>
    Answer,
}
