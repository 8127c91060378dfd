using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Guard;

/// <summary>One kind of migration, on both sides of the guard.</summary>
/// <param name="Version">QEMU, on both sides.</param>
/// <param name="Machine">Its machine type: up to 7.2 the preempt channel is opened early.</param>
/// <param name="Channels">multifd channels, 0 for none.</param>
/// <param name="Postcopy">Whether the guest goes before its memory.</param>
/// <param name="Preempt">Whether urgent pages have a channel of their own.</param>
public sealed record GuardConfiguration(string Version, string Machine, int Channels, bool Postcopy, bool Preempt)
{
    /// <summary>The one in which most can go wrong, per version.</summary>
    public static IReadOnlyList<GuardConfiguration> Richest { get; } =
    [
        new("7.2", "pc-q35-7.2", 0, Postcopy: true, Preempt: true),
        new("10.0", "pc-q35-10.0", 2, Postcopy: false, Preempt: false),
        new("11.1", "pc-q35-11.1", 2, Postcopy: true, Preempt: true),
    ];

    public static IReadOnlyList<GuardConfiguration> All { get; } =
    [
        .. from version in QemuVersion.All
           from row in ((int Channels, bool Postcopy, bool Preempt)[])
               [(0, false, false), (2, false, false), (8, false, false), (0, true, false), (0, true, true), (2, true, true)]
           where row is not (> 0, true, _) || version == QemuVersion.V111 // others have no multifd with postcopy
           select new GuardConfiguration(version.Label, version.NewestMachine, row.Channels, row.Postcopy, row.Preempt),
        // Preempt channels that are opened early, by versions that know late ones. The last hangs without the guard.
        new("10.0", "pc-q35-7.2", 0, Postcopy: true, Preempt: true),
        new("11.1", "pc-q35-7.2", 0, Postcopy: true, Preempt: true),
        new("11.1", "pc-q35-7.2", 2, Postcopy: true, Preempt: true),
    ];

    public static GuardConfiguration Parse(string text) => All.Single(configuration => configuration.ToString() == text);

    /// <summary>For test names; one word for each choice.</summary>
    public override string ToString() => string.Join(
        ' ', $"{Version} {Machine}", $"multifd {Channels}", Preempt ? "preempt" : Postcopy ? "postcopy" : "precopy");
}
