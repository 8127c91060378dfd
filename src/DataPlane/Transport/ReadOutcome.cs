namespace DataPlane.Transport;

/// <summary>What reading a connection without waiting brought.</summary>
internal enum ReadOutcome
{
    /// <summary>No byte is there.</summary>
    Nothing,

    /// <summary>Bytes, and no more are there.</summary>
    Some,

    /// <summary>As many bytes as were asked for: more may be there.</summary>
    Full,

    /// <summary>The peer has closed or reset the connection.</summary>
    Gone,
}
