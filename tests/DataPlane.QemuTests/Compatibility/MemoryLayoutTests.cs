using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>Guests whose RAM is more than one block of small pages.</summary>
public sealed class MemoryLayoutTests : ReceiveTest
{
    private const long MiB = 1 << 20;
    private const long GiB = 1 << 30;

    /// <summary>Where a pc-q35 with more than 2.75 GiB splits its RAM around the addresses of its devices.</summary>
    private const long BelowFourGiB = 2 * GiB;

    public static TheoryData<string, int> Versions => new(
        from version in QemuVersion.All
        from channels in (int[])[0, 2]
        select new TheoryDataRow<string, int>(version.Label, channels) { Explicit = version != QemuVersion.V111 || channels == 0 });

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task Each_NUMA_node_has_a_block_of_its_own(string version, int channels)
    {
        var source = await StartSourceAsync(Newest(version) with
        {
            Extra =
            [
                "-smp", "2", "-object", "memory-backend-ram,id=node0,size=64M", "-object", "memory-backend-ram,id=node1,size=64M",
                "-numa", "node,nodeid=0,memdev=node0", "-numa", "node,nodeid=1,memdev=node1",
            ],
        });

        await SaveAsync(source, With(channels));

        using (var file = MappedRamFile.Open(OutFile))
        {
            AssertSame(file, "node0", await source.SaveMemoryAsync(0, 64 * MiB, Token));
            AssertSame(file, "node1", await source.SaveMemoryAsync(64 * MiB, 64 * MiB, Token));
        }

        await RunsOnAsync(source, false, QemuVersion.V111);
    }

    /// <summary>The DIMM comes while the guest runs, and is there from the start in the QEMU that loads the guest.</summary>
    [Theory]
    [MemberData(nameof(Versions))]
    public async Task A_DIMM_that_was_plugged_in_goes_along(string version, int channels)
    {
        var options = Newest(version) with { Extra = ["-m", "128M,slots=2,maxmem=1G"] };
        var source = await StartSourceAsync(options);
        await source.ExecuteAsync(
            "object-add", new JsonObject { ["qom-type"] = "memory-backend-ram", ["id"] = "dimm0", ["size"] = 128 * MiB }, Token);
        await source.ExecuteAsync("device_add", new JsonObject { ["driver"] = "pc-dimm", ["id"] = "d0", ["memdev"] = "dimm0" }, Token);

        await SaveAsync(source, With(channels));

        using (var file = MappedRamFile.Open(OutFile))
        {
            Assert.Contains(file.Blocks, block => block.Name == "dimm0" && block.Length == 128 * MiB);
        }

        var whole = options with
        {
            Extra = [.. options.Extra, "-object", "memory-backend-ram,id=dimm0,size=128M", "-device", "pc-dimm,id=d0,memdev=dimm0"],
        };
        await RunsOnAsync(OutFile, whole, QemuVersion.V111, source.Console.Reports[^1], paused: false);
    }

    /// <summary>virtio-mem sends what is plugged in before the RAM, as an early section.</summary>
    [Theory]
    [InlineData("10.0", 0)]
    [InlineData("11.1", 2)]
    public async Task A_virtio_mem_device_goes_along(string version, int channels)
    {
        var source = await StartSourceAsync(Newest(version) with
        {
            Extra =
            [
                "-m", "128M,maxmem=1G", "-object", "memory-backend-ram,id=vmem,size=256M",
                "-device", "virtio-mem-pci,id=vm0,memdev=vmem,requested-size=64M",
            ],
        });

        await SaveAsync(source, With(channels));

        await RunsOnAsync(OutFile, source.Options, source.Options.Version, source.Console.Reports[^1], paused: false);
    }

    [Theory(Explicit = true)]
    [InlineData("7.2", 0)]
    [InlineData("10.0", 2)]
    [InlineData("11.1", 4)]
    public async Task More_than_4_GiB_lie_in_one_block_around_the_devices(string version, int channels)
    {
        var source = await StartSourceAsync(Newest(version) with { MemoryMiB = 5 << 10 });

        await SaveAsync(source, With(channels));

        using (var file = MappedRamFile.Open(OutFile))
        {
            var below = await source.SaveMemoryAsync(0, BelowFourGiB, Token);
            var above = await source.SaveMemoryAsync(4 * GiB, (5 * GiB) - BelowFourGiB, Token);
            await using (var whole = new FileStream(below, FileMode.Append))
            await using (var rest = File.OpenRead(above))
            {
                await rest.CopyToAsync(whole, Token);
            }

            AssertSame(file, "pc.ram", below);
        }

        await RunsOnAsync(source, false, QemuVersion.V111);
    }

    [Theory]
    [InlineData("7.2", 0)]
    [InlineData("10.0", 2)]
    [InlineData("11.1", 2)]
    public async Task The_older_board_goes_as_well(string version, int channels)
    {
        var source = await StartSourceAsync(Newest(version) with { Machine = $"pc-i440fx-{version}" });

        await SaveAsync(source, With(channels));

        await RunsOnAsync(source, false, QemuVersion.V111);
    }

    private static MigrationSettings With(int channels) => new() { Channels = channels, ReturnPath = true };
}
