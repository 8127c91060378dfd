using DataPlane.Images;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Send;

/// <summary>
/// A guest of a .NET host, with a QEMU's devices as opaque bytes, moves into a real QEMU while its memory is being written.
/// </summary>
public sealed class SendLiveTests(SavedVms vms) : SendTest(vms)
{
    public static TheoryData<string, int> Cases => new(
        from version in QemuVersion.All from channels in (int[])[0, 4] select new TheoryDataRow<string, int>(version.Label, channels));

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_live_guest_arrives_in_QEMU_and_runs_on(string label, int channels)
    {
        Assert.SkipUnless(PagemapDirtyTracker.IsSupported(out var reason), reason ?? "");
        var version = QemuVersion.Parse(label);
        var vm = await Vms.ReceivedAsync(version, MachineFor([version]));
        var destination = await WaitingAsync(vm, version, new MigrationSettings { Channels = channels });
        using var saved = MappedRamSource.Open(vm.Path);
        using var guest = new LiveGuest(saved);
        var options = new MigrationSourceOptions
        {
            MultifdChannels = channels,
            MaxBytesPerSecond = 200 << 20,
            StallTimeout = TimeSpan.FromMinutes(1),
        };

        var report = await new MigrationSource(guest, options).MigrateAsync(
            ChannelAddress.Parse(destination.Uri["tcp:".Length..]), cancellationToken: Token);

        Assert.True(report.Rounds > 1, $"{report.Rounds} rounds");
        await destination.Machine.WaitForMigrationAsync("completed", Token);
        using (var file = MappedRamFile.Open(vm.Path))
        {
            Assert.Null(file.FirstDifference(file.Ram, await destination.Machine.SaveMemoryAsync(Token)));
        }

        await RunsOnAsync(destination.Machine, vm.Last);
    }
}
