namespace DataPlane.Migration;

/// <summary>Which side of a migration has the guest, as far as the side that says it can know. No other side may run the guest.</summary>
public enum GuestOwner
{
    /// <summary>The source has the guest: it runs on there whatever fails.</summary>
    Source,

    /// <summary>
    /// The guest was handed over and nothing has confirmed that it arrived, or it arrived and the source may not have heard so. Ask the other
    /// side before anybody runs it.
    /// </summary>
    Unknown,

    /// <summary>The destination has the guest: all of it, or its devices, with its memory still on the way.</summary>
    Destination,
}
