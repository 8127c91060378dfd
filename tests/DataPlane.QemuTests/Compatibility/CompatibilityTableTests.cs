using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>
/// docs/compatibility.md has a row for whatever a QEMU says of itself: a capability, parameter, mode or transport that is new there is
/// noticed here.
/// </summary>
public sealed class CompatibilityTableTests : QemuTest
{
    public static TheoryData<string> Versions => new(QemuVersion.All.Select(version => version.Label));

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task Every_capability_has_a_row(string label)
    {
        await using var machine = await StartBareAsync(label);
        var capabilities = await machine.ExecuteAsync("query-migrate-capabilities", null, Token);

        Check(label, "Capabilities", capabilities.EnumerateArray().Select(entry => entry.GetProperty("capability").GetString()!));
    }

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task Every_parameter_mode_channel_type_and_transport_has_a_row(string label)
    {
        await using var machine = await StartBareAsync(label);
        var schema = new QmpSchema(await machine.ExecuteAsync("query-qmp-schema", null, Token));

        Check(label, "Parameters", schema.ArgumentsOf("migrate-set-parameters"));
        Check(label, "Modes", schema.ValuesOf("migrate-set-parameters", "mode"));
        Check(label, "Compression", schema.ValuesOf("migrate-set-parameters", "multifd-compression"));
        Check(label, "Zero page detection", schema.ValuesOf("migrate-set-parameters", "zero-page-detection"));
        Check(label, "Channel types", schema.ValuesOf("migrate", "channels", "channel-type"));
        Check(label, "Transports", schema.ValuesOf("migrate", "channels", "addr", "transport"));
        Check(label, "Socket addresses", schema.ValuesOf("query-migrate", "socket-address", "type"));
    }

    private static void Check(string label, string section, IEnumerable<string> names)
    {
        var version = QemuVersion.Parse(label);
        var known = names.ToArray();
        var table = CompatibilityTable.Read();
        Assert.Empty(table.Missing(section, version, known));
        Assert.Empty(table.Surplus(section, version, known));
    }

    private Task<QemuProcess> StartBareAsync(string label) =>
        StartAsync(new QemuOptions { Version = QemuVersion.Parse(label), Machine = "none" }, "machine");
}
