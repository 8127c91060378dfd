namespace DataPlane.MainStream;

/// <summary>How a message about a stream says where in it something is.</summary>
internal enum StreamPlace
{
    /// <summary>By the offset from the stream's first byte.</summary>
    Offset,

    /// <summary>By the number of bytes after the switch to postcopy, or after the handshake of a recovery.</summary>
    AfterSwitch,

    /// <summary>Not at all.</summary>
    Unnamed,
}
