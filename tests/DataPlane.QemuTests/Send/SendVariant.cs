using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Send;

/// <summary>
/// One way to send a VM: what `dataplane send` is told and what the waiting QEMU is told. The list is here and nowhere else.
/// </summary>
internal sealed record SendVariant(string Name)
{
    public static IReadOnlyList<SendVariant> All { get; } =
    [
        new("plain"),
        new("multifd 4") { Qemu = new MigrationSettings { Channels = 4 } },
    ];

    /// <summary>Capabilities and parameters of the destination; its channels are those of `send`, too.</summary>
    public MigrationSettings Qemu { get; init; } = new();

    /// <summary>Further arguments of the destination, such as credentials.</summary>
    public IReadOnlyList<string> QemuArguments { get; init; } = [];

    /// <summary>Further options of `send`.</summary>
    public IReadOnlyList<string> Options { get; init; } = [];

    public static SendVariant Parse(string name) => All.Single(variant => variant.Name == name);
}
