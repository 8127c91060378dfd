using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests;

/// <summary>What a source may have switched on, and the ways to be reached.</summary>
public sealed class ReceiveFeatureTests : ReceiveTest
{
    private static readonly Guid s_uuid = new("00112233-4455-6677-8899-aabbccddeeff");

    public static TheoryData<string, int, string> ZeroPageDetections => new(
        from version in QemuVersion.All
        where version.HasMappedRam
        from channels in (int[])[0, 2]
        from method in (string[])["none", "legacy", "multifd"]
        select new TheoryDataRow<string, int, string>(version.Label, channels, method));

    public static TheoryData<string, int, bool> ReturnPaths => new(
        from version in QemuVersion.All
        from channels in (int[])[0, 4]
        from returnPath in (bool[])[false, true]
        select new TheoryDataRow<string, int, bool>(version.Label, channels, returnPath));

    public static TheoryData<string> Versions => new(QemuVersion.All.Select(version => version.Label));

    [Theory]
    [MemberData(nameof(ReturnPaths))]
    public async Task The_return_path_is_answered_and_not_needed(string version, int channels, bool returnPath)
    {
        var source = await StartSourceAsync(Newest(version));
        // The matrix pairs a paused guest with no return path: here it is the other way round.
        if (returnPath)
        {
            await source.StopGuestAsync(Token);
        }

        await CaptureAsync(source, new MigrationSettings { Channels = channels, ReturnPath = returnPath });

        await RunsOnAsync(source, returnPath, QemuVersion.V111);
    }

    [Theory]
    [MemberData(nameof(ZeroPageDetections))]
    public async Task Zero_pages_arrive_however_they_are_found(string version, int channels, string method)
    {
        var source = await StartSourceAsync(Newest(version));

        await CaptureAsync(
            source,
            new MigrationSettings { Channels = channels, ReturnPath = true, Parameters = [("zero-page-detection", method)] });

        await RunsOnAsync(source, false, QemuVersion.Parse(version));
    }

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task Pages_arrive_as_differences_with_xbzrle(string version)
    {
        var source = await StartSourceAsync(Newest(version));

        // Differences begin with the third round, since the cache fills in the second: the limit is too low for fewer, also for a guest
        // that gets little of a busy machine, and raised then.
        var settings = new MigrationSettings
        {
            ReturnPath = true,
            MaxBandwidth = 100 << 20,
            Capabilities = ["xbzrle"],
            Parameters = [("xbzrle-cache-size", 256 << 20), ("downtime-limit", 1)],
        };
        var migration = await CaptureAsync(source, settings, meanwhile: async () =>
        {
            await source.WaitForCounterAsync("xbzrle-cache", "pages", 1000, Token);
            await source.ExecuteAsync("migrate-set-parameters", new JsonObject { ["downtime-limit"] = 5000 }, Token);
        });

        Assert.True(migration.GetProperty("xbzrle-cache").GetProperty("pages").GetInt64() >= 1000, migration.ToString());
        await RunsOnAsync(source, false, QemuVersion.V111);
    }

    [Fact]
    public async Task Compressed_pages_of_QEMU_7_2_arrive()
    {
        var source = await StartSourceAsync(Newest("7.2"));

        var migration = await CaptureAsync(
            source, new MigrationSettings { ReturnPath = true, Capabilities = ["compress"], Parameters = [("downtime-limit", 2000)] });

        Assert.True(migration.GetProperty("compression").GetProperty("pages").GetInt64() > 0, migration.ToString());
        await RunsOnAsync(source, false, QemuVersion.V100);
    }

    [Theory]
    [InlineData("7.2", 2)]
    [InlineData("11.1", 0)]
    [InlineData("11.1", 2)]
    public async Task The_machines_UUID_is_kept(string version, int channels)
    {
        var source = await StartSourceAsync(Newest(version) with { Uuid = s_uuid });

        await CaptureAsync(source, new MigrationSettings { Channels = channels, ReturnPath = true, Capabilities = ["validate-uuid"] });

        using (var file = MappedRamFile.Open(OutFile))
        {
            Assert.Equal(s_uuid.ToByteArray(bigEndian: true), file.Uuid);
        }

        await RunsOnAsync(source, false, QemuVersion.V111); // QEMU itself refuses a file with another UUID than its own
    }

    [Theory]
    [InlineData("7.2", 0)]
    [InlineData("11.1", 4)]
    public async Task A_guest_arrives_over_a_Unix_socket(string version, int channels)
    {
        var source = await StartSourceAsync(Newest(version));

        await CaptureAsync(
            source, new MigrationSettings { Channels = channels, ReturnPath = true },
                new ReceiveOptions { Out = OutFile, Listen = $"unix:{Work["listen"]}" });

        await RunsOnAsync(source, false, QemuVersion.V111);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    public async Task A_guest_arrives_over_IPv6(int channels)
    {
        Assert.SkipUnless(System.Net.Sockets.Socket.OSSupportsIPv6, "this machine has no IPv6");
        var source = await StartSourceAsync(Newest("11.1"));

        await CaptureAsync(source, new MigrationSettings { Channels = channels, ReturnPath = true },
            new ReceiveOptions { Out = OutFile, Listen = "[::1]:0" });

        await RunsOnAsync(source, false, QemuVersion.V111);
    }

    [Theory]
    [InlineData("7.2", "pc-q35-7.2", 0)]
    [InlineData("7.2", "pc-q35-7.2", 4)]
    [InlineData("10.0", "pc-q35-10.0", 0)]
    [InlineData("10.0", "pc-q35-10.0", 4)]
    [InlineData("11.1", "pc-q35-11.1", 0)]
    [InlineData("11.1", "pc-q35-11.1", 4)]
    public async Task A_guest_with_many_devices_arrives(string version, string machine, int channels)
    {
        var options = new QemuOptions
        {
            Version = QemuVersion.Parse(version),
            Machine = machine,
            Extra =
            [
                "-vga", "std",
                "-device", "qemu-xhci,id=usb", "-device", "usb-tablet,bus=usb.0", "-device", "usb-kbd,bus=usb.0",
                "-device", "pcie-root-port,id=root,chassis=1", "-device", "e1000e,bus=root",
                "-device", "intel-hda", "-device", "hda-output,audiodev=sound", "-audiodev", "none,id=sound",
                "-device", "virtio-balloon-pci", "-device", "virtio-serial-pci", "-device", "virtio-rng-pci", "-device", "virtio-scsi-pci",
                "-device", "virtio-keyboard-pci", "-device", "virtio-net-pci", "-device", "virtio-gpu-pci",
            ],
        };
        var source = await StartSourceAsync(options);

        await CaptureAsync(source, new MigrationSettings { Channels = channels, ReturnPath = true });

        using (var file = MappedRamFile.Open(OutFile))
        {
            Assert.Contains(file.Blocks, block => block.Name.EndsWith("vga.vram", StringComparison.Ordinal));
            Assert.True(file.Devices.Count > 40, string.Join(' ', file.Devices));
        }

        // QEMU itself refuses some devices of one version in another: a guest goes back to where it came from, where that
        // loads files at all.
        await RunsOnAsync(source, false, options.Version.HasMappedRam ? options.Version : QemuVersion.V100);
    }
}
