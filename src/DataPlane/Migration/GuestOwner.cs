namespace DataPlane;

/// <summary>
/// Which side of a migration has the guest, as far as the reporting side can know. The other side must not run the guest.
/// </summary>
public enum GuestOwner
{
    /// <summary>The source has the guest, which runs on there whatever fails.</summary>
    Source,

    /// <summary>
    /// The guest was handed over and nothing has confirmed that it arrived, or it arrived and the source may not have heard of it. Neither
    /// side may run the guest before the state of the other side is known.
    /// </summary>
    Unknown,

    /// <summary>The destination has the guest: all of it, or its devices while its memory is still on the way.</summary>
    Destination,
}
