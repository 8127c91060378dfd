namespace DataPlane.Transport;

/// <summary>The result of a read that does not wait.</summary>
internal enum ReadOutcome
{
    /// <summary>No byte is there.</summary>
    Nothing,

    /// <summary>Bytes were read, and no more are there.</summary>
    Some,

    /// <summary>Bytes were read, and more may be there.</summary>
    Full,

    /// <summary>The peer has closed or reset the connection.</summary>
    Gone,
}
