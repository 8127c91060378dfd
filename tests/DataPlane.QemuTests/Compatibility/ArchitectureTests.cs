using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>
/// Machines that are no PC. Nothing runs in them: their RAM holds what QEMU's loader device has put there, so that there are data pages to
/// compare.
/// </summary>
public sealed class ArchitectureTests : ReceiveTest
{
    private const long ArmRam = 0x4000_0000;
    private const int LoadedBytes = 8 << 20;

    public static TheoryData<string, string, int> Arm => new(
        from version in QemuVersion.All
        from channels in (int[])[0, 2]
        select new TheoryDataRow<string, string, int>(version.Label, $"virt-{version.Label}", channels));

    /// <summary>
    /// Arm machines state their target page size in the stream. Without it QEMU takes a saved VM for one with pages of 1 KiB.
    /// </summary>
    [Theory]
    [MemberData(nameof(Arm))]
    public async Task An_Arm_machine_is_saved_loads_and_is_sent(string version, string machine, int channels)
    {
        var options = ArmMachine(version, machine);
        var source = await StartAsync(options, "source");
        var memory = await source.SaveMemoryAsync(ArmRam, options.MemoryBytes, Token);
        await SaveAsync(source, new MigrationSettings { Channels = channels, ReturnPath = true });

        using (var file = MappedRamFile.Open(OutFile))
        {
            Assert.Equal(12u, file.TargetPageBits);
            AssertSame(file, "mach-virt.ram", memory);
        }

        // QEMU 7.2 loads no files, and 10.0 refuses an Arm CPU of 7.2, also straight from QEMU to QEMU.
        if (options.Version.HasMappedRam)
        {
            var loaded = await StartAsync(options.IncomingIn(options.Version), "loaded");
            await loaded.PrepareMigrationAsync(new MigrationSettings { MappedRam = true }, Token);
            await loaded.StartIncomingAsync($"file:{OutFile}", Token);
            await loaded.WaitForMigrationAsync("completed", Token);
            await AssertSameAsync(loaded, memory);
        }

        var destination = await StartAsync(options.IncomingIn(options.Version), "destination");
        await destination.PrepareMigrationAsync(new MigrationSettings { Channels = channels }, Token);
        var uri = await destination.StartIncomingAsync("tcp:127.0.0.1:0", Token);
        await using var send = await SendProcess.StartAsync(OutFile, uri, channels, Work, "--timeout", "60s", "--peer", version);
        var result = await send.WaitAsync(Token);
        Assert.True(result.ExitCode == 0, result.ToString());
        await destination.WaitForMigrationAsync("completed", Token);
        await AssertSameAsync(destination, memory);
    }

    /// <summary>
    /// An s390x machine always has a section of storage attributes beside its RAM, which has no place in a file of RAM and devices.
    /// </summary>
    [Theory]
    [InlineData("7.2", 0)]
    [InlineData("10.0", 0)]
    [InlineData("11.1", 2)]
    public async Task An_s390x_machine_is_refused_by_the_name_of_what_it_brings(string version, int channels)
    {
        var options = new QemuOptions
        {
            Version = QemuVersion.Parse(version),
            Machine = $"s390-ccw-virtio-{version}",
            Architecture = "s390x",
            StayStopped = true,
        };
        var source = await StartAsync(options, "source");
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile, Channels = channels });
        await source.PrepareMigrationAsync(new MigrationSettings { Channels = channels, ReturnPath = true }, Token);

        await source.StartMigrationAsync(receive.Uri, Token);

        await ExpectFailureAsync(receive, "s390-storage_attributes");
        await source.WaitForMigrationAsync("failed", Token);
    }

    private QemuOptions ArmMachine(string version, string machine)
    {
        var content = Work["content"];
        var bytes = new byte[LoadedBytes];
        new Random(LoadedBytes).NextBytes(bytes);
        File.WriteAllBytes(content, bytes);
        return new QemuOptions
        {
            Version = QemuVersion.Parse(version),
            Machine = machine,
            Architecture = "aarch64",
            StayStopped = true,
            Extra = ["-cpu", "cortex-a57", "-device", $"loader,file={content},addr=0x{ArmRam + LoadedBytes:x},force-raw=on"],
        };
    }

    private static async Task AssertSameAsync(QemuProcess machine, string expected)
    {
        var actual = await machine.SaveMemoryAsync(ArmRam, machine.Options.MemoryBytes, Token);
        var (sent, arrived) = (await File.ReadAllBytesAsync(expected, Token), await File.ReadAllBytesAsync(actual, Token));
        Assert.True(sent.AsSpan().SequenceEqual(arrived), $"the memory of {machine.Name} differs from the source's");
    }
}
