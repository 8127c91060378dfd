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
        from capability in (string[])["switchover-ack", .. CapabilityNames.WithoutEffectOnTheWire(version)]
        from channels in (int[])[0, 2]
        where channels > 0 || capability != "zero-copy-send"
        where capability != "switchover-ack" || (channels == 0 && version != QemuVersion.V72)
        select new TheoryDataRow<string, string, int>(version.Label, capability, channels);

    private async Task ArrivesWithAsync(string label, string capability, int channels)
    {
        var version = QemuVersion.Parse(label);
        var vm = await Vms.ReceivedAsync(version, MachineFor([version]));

        await ArrivesAsync(vm, version, new SendVariant(capability)
        {
            Qemu = new MigrationSettings { Channels = channels, ReturnPath = capability == "switchover-ack", Capabilities = [capability] },
        });
    }

    [Fact]
    public Task A_QEMU_that_expects_shared_memory_to_stay_refuses() => RefusesAsync(QemuVersion.V111);

    [Theory(Explicit = true)]
    [InlineData("7.2")]
    [InlineData("10.0")]
    public Task An_older_QEMU_that_expects_shared_memory_to_stay_refuses(string version) => RefusesAsync(QemuVersion.Parse(version));

    /// <summary>Names for bitmaps, of which none come.</summary>
    [Theory(Explicit = true)]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task A_guest_arrives_where_bitmaps_would_have_other_names(string label)
    {
        var version = QemuVersion.Parse(label);
        await ArrivesAsync(await Vms.ReceivedAsync(version, MachineFor([version])), version, new SendVariant("block-bitmap-mapping")
        {
            Qemu = new MigrationSettings { Capabilities = ["dirty-bitmaps"], Parameters = [BitmapNames.Mapping] },
        });
    }

    private async Task RefusesAsync(QemuVersion version)
    {
        var vm = await Vms.ReceivedAsync(version, MachineFor([version]));
        var settings = new MigrationSettings { ReturnPath = true, Capabilities = ["x-ignore-shared"] };
        var (machine, uri) = await WaitingAsync(vm, version, settings);
        await using var send = await SendProcess.StartAsync(vm.Path, uri, 0, Work, ["--timeout", "60s"]);

        CheckFailure(await send.WaitAsync(Token), "without SHUT");

        await machine.Errors.WaitForAsync(
            static line => line.Contains("Capability x-ignore-shared is on, but received capability is off", StringComparison.Ordinal),
            "it says why", token: Token);
    }
}
