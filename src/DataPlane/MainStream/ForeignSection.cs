using DataPlane.Wire;

namespace DataPlane.MainStream;

/// <summary>
/// Describes iterable sections other than <c>ram</c>. Each has a format of its own without any length, so none can be kept without being
/// understood (specification, 2-main-stream section 5.6). They begin before any page, so nothing is lost yet when they are refused.
/// </summary>
internal static class ForeignSection
{
    /// <summary>Describes a section, and what to do so that the source does not send it.</summary>
    /// <param name="name">The name of the section, as received.</param>
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
