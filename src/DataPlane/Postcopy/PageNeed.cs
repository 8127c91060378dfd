namespace DataPlane.Postcopy;

/// <summary>What is to be done for somebody who needs a page.</summary>
internal enum PageNeed
{
    /// <summary>It has arrived.</summary>
    Received,

    /// <summary>It was asked for before.</summary>
    Asked,

    /// <summary>It is marked as asked for; the caller sends the request.</summary>
    Ask,
}
