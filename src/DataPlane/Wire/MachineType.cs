using System.Globalization;

namespace DataPlane.Wire;

/// <summary>
/// What the versioned machine name of the configuration tells about the dialect of its QEMU: properties follow the machine type, not
/// the version of the program. Names without a version (microvm, those of distributions) predict nothing: both <c>Version</c> and every
/// answer are null, and detection or options decide.
/// </summary>
/// <param name="Name">As on the wire.</param>
/// <param name="Version">The trailing X.Y, compared as numbers.</param>
internal readonly record struct MachineType(string Name, (int Major, int Minor)? Version)
{
    /// <summary>With capability switchover-ack on, the source waits for one ACK even if no device asked for it.</summary>
    public bool? ExpectsUnaskedSwitchoverAck => Version is { } v ? v.CompareTo((11, 0)) <= 0 : null;

    /// <summary>The preempt channel connects with the others and ends with an EOS record.</summary>
    public bool? ConnectsPreemptEarly => Version is { } v ? v.CompareTo((7, 2)) <= 0 : null;

    /// <summary>The destination takes a multifd channel over TLS that ends without close_notify as an error.</summary>
    public bool? NeedsCleanTlsTermination => Version is { } v ? v.CompareTo((10, 0)) >= 0 : null;

    public static MachineType Parse(string name)
    {
        int dash = name.LastIndexOf('-');
        ReadOnlySpan<char> version = dash < 1 ? default : name.AsSpan(dash + 1);
        int dot = version.IndexOf('.');
        return dot > 0 && TryParseNumber(version[..dot], out int major) && TryParseNumber(version[(dot + 1)..], out int minor)
            ? new MachineType(name, (major, minor))
            : new MachineType(name, null);
    }

    private static bool TryParseNumber(ReadOnlySpan<char> text, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
