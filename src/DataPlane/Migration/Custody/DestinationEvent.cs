namespace DataPlane.Migration.Custody;

/// <summary>What a destination learns or does that may decide who has the guest.</summary>
internal enum DestinationEvent
{
    /// <summary>The host does not want the guest any more.</summary>
    Cancelled,

    /// <summary>
    /// In a postcopy whose guest is fetched for a host that does not run it, a source of this library is about to hear that the devices
    /// were loaded. It keeps the guest stopped from then on.
    /// </summary>
    FetchPromised,

    /// <summary>The whole guest is here, and the host is about to commit it; SHUT 0 is sent after that.</summary>
    CommitBegins,

    /// <summary>
    /// In a postcopy whose guest runs here, the devices are loaded, and the PINGs of the package are about to be answered.
    /// </summary>
    TellingBegins,

    /// <summary>
    /// The kernel has taken SHUT 0 or the answers to the PINGs, or there is no return path on which the source could be told.
    /// </summary>
    SourceTold,

    /// <summary>The source was gone before it could be told.</summary>
    SourceGone,

    /// <summary>The link is lost, and nothing proves that the source has heard that its guest is here.</summary>
    LostBeforeProof,

    /// <summary>The source has come again over a new link, which it would not do if it ran the guest again.</summary>
    SourceCameAgain,

    /// <summary>A connection failed, a time limit ran out, or this host failed.</summary>
    Failed,
}
