using System.Globalization;

namespace DataPlane.Wire;

/// <summary>
/// What the versioned machine name in the configuration tells about the dialect of its QEMU, which follows the machine type and not the
/// version of the program (specification, 2-main-stream section 7.1). Names without a version (microvm, those of distributions) predict
/// nothing: then <see cref="Version"/> and every answer are null, and detection or options decide.
/// </summary>
/// <remarks>
/// A version is a part between dashes that begins with <c>X.Y</c>, and goes on, if at all, with something that is neither letter nor digit:
/// <c>pc-q35-4.0.1</c>, <c>pc-q35-9.2+pve1</c>, <c>pc-i440fx-8.2-acme</c>. A number after a vendor's name (<c>pc-q35-rhel9.4.0</c>) is the
/// vendor's own.
/// </remarks>
/// <param name="Name">As on the wire.</param>
/// <param name="Version">QEMU's version X.Y, compared as numbers; null if the name has none.</param>
internal readonly record struct MachineType(string Name, (int Major, int Minor)? Version)
{
    /// <summary>Whether a source with capability switchover-ack waits for one ACK even if no device asked for it.</summary>
    public bool? ExpectsUnaskedSwitchoverAck => Version is { } v ? v.CompareTo((11, 0)) <= 0 : null;

    /// <summary>Whether the preempt channel connects with the others and ends with an EOS record.</summary>
    public bool? ConnectsPreemptEarly => Version is { } v ? v.CompareTo((7, 2)) <= 0 : null;

    /// <summary>Whether the destination takes a multifd channel over TLS that ends without close_notify as an error.</summary>
    public bool? NeedsCleanTlsTermination => Version is { } v ? v.CompareTo((10, 0)) >= 0 : null;

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

    private static bool TryParseVersion(ReadOnlySpan<char> part, out (int Major, int Minor) version)
    {
        version = default;
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

        version = (major, minor);
        return true;
    }

    /// <summary>Whether <paramref name="rest"/> may follow a version: a release within X.Y, or the mark of a vendor.</summary>
    private static bool MayFollow(ReadOnlySpan<char> rest) =>
        rest[0] == '.' ? rest.Length > 1 && char.IsAsciiDigit(rest[1]) : rest[0] is '+' or '~' or '_';

    private static bool TryParseNumber(ReadOnlySpan<char> text, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
