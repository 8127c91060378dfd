using System.Globalization;

namespace DataPlane.Wire;

/// <summary>
/// The version in the name of a machine type, as it stands in the configuration (specification, 2-main-stream section 7.1). What follows
/// from it, <see cref="QemuCompatibility"/> says.
/// </summary>
/// <remarks>
/// A version is a part between dashes that begins with <c>X.Y</c>, and goes on, if at all, with something that is neither letter nor digit:
/// <c>pc-q35-4.0.1</c>, <c>pc-q35-9.2+pve1</c>, <c>pc-i440fx-8.2-acme</c>. A number after a vendor's name (<c>pc-q35-rhel9.4.0</c>) is the
/// vendor's own.
/// </remarks>
/// <param name="Name">As on the wire.</param>
/// <param name="Version">QEMU's version X.Y; null if the name has none (microvm, those of distributions).</param>
internal readonly record struct MachineType(string Name, Version? Version)
{
    public static MachineType Parse(string name)
    {
        // The version is the last part of QEMU's own names, and what a vendor adds stands after it.
        var rest = name.AsSpan();
        for (var dash = rest.LastIndexOf('-'); dash > 0; dash = rest.LastIndexOf('-'))
        {
            if (TryParseVersion(rest[(dash + 1)..], out var version))
            {
                return new MachineType(name, version);
            }

            rest = rest[..dash];
        }

        return new MachineType(name, null);
    }

    private static bool TryParseVersion(ReadOnlySpan<char> part, out Version? version)
    {
        version = null;
        var dot = part.IndexOf('.');
        if (dot <= 0 || !TryParseNumber(part[..dot], out var major))
        {
            return false;
        }

        var behind = part[(dot + 1)..];
        var length = behind.IndexOfAnyExceptInRange('0', '9') is var end && end >= 0 ? end : behind.Length;
        if (!TryParseNumber(behind[..length], out var minor) || (length < behind.Length && !MayFollow(behind[length..])))
        {
            return false;
        }

        version = new Version(major, minor);
        return true;
    }

    /// <summary>Whether <paramref name="rest"/> may follow a version: a release within X.Y, or the mark of a vendor.</summary>
    private static bool MayFollow(ReadOnlySpan<char> rest) =>
        rest[0] == '.' ? rest.Length > 1 && char.IsAsciiDigit(rest[1]) : rest[0] is '+' or '~' or '_';

    private static bool TryParseNumber(ReadOnlySpan<char> text, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
