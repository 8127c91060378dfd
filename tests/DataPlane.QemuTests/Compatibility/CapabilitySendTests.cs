using DataPlane.QemuTests.Harness;
using DataPlane.QemuTests.Send;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>A waiting QEMU with a capability that `send` knows nothing of: the guest arrives as without it.</summary>
public sealed class CapabilitySendTests(SavedVms vms) : SendTest(vms)
{
    public static TheoryData<string, string, int> Newest => new(Rows(QemuVersion.V111));

    public static TheoryData<string, string, int> Older => new([.. Rows(QemuVersion.V72), .. Rows(QemuVersion.V100)]);

    [Theory]
    [MemberData(nameof(Newest))]
    public Task A_guest_arrives_in_the_newest_QEMU_with(string version, string capability, int channels) =>
        ArrivesWithAsync(version, capability, channels);

    [Theory(Explicit = true)]
    [MemberData(nameof(Older))]
    public Task A_guest_arrives_in_an_older_QEMU_with(string version, string capability, int channels) =>
        ArrivesWithAsync(version, capability, channels);

    private static IEnumerable<TheoryDataRow<string, string, int>> Rows(QemuVersion version) =>
        from capability in CapabilityNames.WithoutEffectOnTheWire(version)
        from channels in (int[])[0, 2]
        where channels > 0 || capability != "zero-copy-send"
        select new TheoryDataRow<string, string, int>(version.Label, capability, channels);

    private async Task ArrivesWithAsync(string label, string capability, int channels)
    {
        var version = QemuVersion.Parse(label);
        var vm = await Vms.ReceivedAsync(version, MachineFor([version]));

        await ArrivesAsync(vm, version, new SendVariant(capability)
        {
            Qemu = new MigrationSettings { Channels = channels, Capabilities = [capability] },
        });
    }
}
