namespace DataPlane.Migration.Custody;

/// <summary>Whose the guest is, as far as this side of a migration can know.</summary>
internal enum GuestOwner
{
    /// <summary>The source's: it runs on there whatever fails.</summary>
    Source,

    /// <summary>The destination may run it, or may not: it was handed over, and nothing has confirmed that it arrived.</summary>
    Unconfirmed,

    /// <summary>The destination's: it has the whole guest, or has loaded its devices and runs it.</summary>
    Destination,
}
