namespace DataPlane.QemuTests.Harness;

/// <summary>One of the QEMU generations under test, by the label that tests/qemu/install gives it.</summary>
internal sealed record QemuVersion(int Major, int Minor)
{
    public static QemuVersion V72 { get; } = new(7, 2);
    public static QemuVersion V100 { get; } = new(10, 0);
    public static QemuVersion V111 { get; } = new(11, 1);

    public static IReadOnlyList<QemuVersion> All { get; } = [V72, V100, V111];

    public string Label => $"{Major}.{Minor}";

    /// <summary>Its newest machine type.</summary>
    public string NewestMachine => $"pc-q35-{Label}";

    /// <summary>Loads and writes mapped-ram files (from 9.0).</summary>
    public bool HasMappedRam => Major >= 9;

    /// <summary>This one or an older one than <paramref name="other"/>.</summary>
    public bool IsUpTo(QemuVersion other) => (Major, Minor).CompareTo((other.Major, other.Minor)) <= 0;

    public static QemuVersion Parse(string label) => All.Single(version => version.Label == label);

    public override string ToString() => Label;
}
