namespace DataPlane.Postcopy;

/// <summary>What is to be done for a thread that needs a page.</summary>
internal enum PageNeed
{
    /// <summary>The page has arrived.</summary>
    Received,

    /// <summary>The page was asked for before.</summary>
    Asked,

    /// <summary>The page is now marked as asked for, and the caller must send the request.</summary>
    Ask,
}
