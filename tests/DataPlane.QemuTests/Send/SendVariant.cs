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
        Compressed("zlib"),
        Compressed("zstd"),
        new("TLS") { IsSecured = true },
        new("TLS multifd 4") { Qemu = new MigrationSettings { Channels = 4 }, IsSecured = true },
    ];

    /// <summary>Both ends get certificates of one authority: see <see cref="Between"/>.</summary>
    public bool IsSecured { get; init; }

    /// <summary>Capabilities and parameters of the destination; its channels are those of `send`, too.</summary>
    public MigrationSettings Qemu { get; init; } = new();

    /// <summary>Further arguments of the destination, such as credentials.</summary>
    public IReadOnlyList<string> QemuArguments { get; init; } = [];

    /// <summary>Further options of `send`.</summary>
    public IReadOnlyList<string> Options { get; init; } = [];

    public static SendVariant Parse(string name) => All.Single(variant => variant.Name == name);

    /// <summary>The same inside TLS: the folders of a QEMU that waits, which demands a certificate, and of `send`.</summary>
    public SendVariant Between(string qemu, string send) => this with
    {
        Qemu = Qemu with { Parameters = [.. Qemu.Parameters, ("tls-creds", "tls0")] },
        QemuArguments = [.. QemuArguments, "-object", $"tls-creds-x509,id=tls0,dir={qemu},endpoint=server,verify-peer=on"],
        Options = [.. Options, "--tls-dir", send],
    };

    private static SendVariant Compressed(string method) => new($"multifd 4 {method}")
    {
        Qemu = new MigrationSettings { Channels = 4, Parameters = [("multifd-compression", method)] },
        Options = ["--compression", method],
    };
}
