using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Iterable sections beside <c>ram</c>: each has a form of its own without any length, so none can be kept without being understood
/// (specification, 2-main-stream section 5.6). They begin before any page, when nothing is lost yet.
/// </summary>
internal static class ForeignSection
{
    /// <summary>Says what a section is, and what to do so that the source does not send it.</summary>
    /// <param name="name">As it came.</param>
    public static string Describe(ReadOnlySpan<byte> name)
    {
        var section = $"section {WireName.Quote(name)}";
        if (name.SequenceEqual("block"u8))
        {
            return $"the source sends its disks along ({section}): turn off capability block, and migrate -b, and mirror the disks instead";
        }

        if (name.EndsWith("/vfio"u8))
        {
            return $"an assigned device sends its state ({section}, VFIO), which only such a device understands: "
                + "detach it before the migration";
        }

        if (name.SequenceEqual("spapr/htab"u8))
        {
            return $"the source sends the hash page table of a ppc64 guest ({section}): such guests are not supported";
        }

        if (name.SequenceEqual("s390-stattrib"u8))
        {
            return $"the source sends the storage attributes of an s390x guest ({section}, CMMA): such guests are not supported";
        }

        if (name.SequenceEqual("s390-skeys"u8))
        {
            return $"the source sends the storage keys of an s390x guest ({section}): such guests are not supported";
        }

        return $"the source sends {section} in pieces (iterable), and only the device that it belongs to understands them: "
            + "detach the device before the migration";
    }
}
