using DataPlane.Images;
using DataPlane.MainStream.Devices;
using DataPlane.Memory;
using DataPlane.Migration;
using DataPlane.QemuTests.Harness;
using DataPlane.Transport;

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
            Assert.Null(file.FirstDifference(file.Ram, await destination.Machine.SaveMemoryAsync(Token)));
        await RunsOnAsync(destination.Machine, vm.Last);
    }

    /// <summary>
    /// A copy of a saved VM's memory, parts of which are overwritten and put right again by a thread for as long as it runs: what the
    /// destination has is right only if every page that was written came again.
    /// </summary>
    private sealed class LiveGuest : IMigratableGuest, IDisposable
    {
        private const int WindowPages = 2048;

        private readonly MappedRamSource _saved;
        private readonly Thread _writer;
        private volatile bool _stop;

        public LiveGuest(MappedRamSource saved)
        {
            _saved = saved;
            Memory = new GuestMemory([.. saved.Memory.Blocks.Select(Copy)]);
            _writer = new Thread(Write) { IsBackground = true };
            _writer.Start();
        }

        public string MachineName => _saved.MachineName;

        public Guid Uuid => _saved.Uuid;

        public GuestMemory Memory { get; }

        public bool IsRunning => !_stop;

        public IDirtyTracker CreateDirtyTracker() => new PagemapDirtyTracker(Memory);

        public ValueTask PauseAsync(CancellationToken cancellationToken)
        {
            Stop();
            return default;
        }

        public ValueTask ResumeAsync() => throw new InvalidOperationException("it was to leave");

        public ValueTask<DeviceState> SaveDeviceStateAsync(CancellationToken cancellationToken) => new(_saved.Devices);

        public void Dispose()
        {
            Stop();
            Memory.Dispose();
        }

        private static RamBlock Copy(RamBlock block)
        {
            var copy = RamBlock.Allocate(block.Name, block.Length, RamAllocation.Default with { HugePages = false });
            for (long at = 0; at < block.Length; at += TargetPage.Size)
                block.Span(at, TargetPage.Size).CopyTo(copy.Span(at, TargetPage.Size));
            return copy;
        }

        private void Stop()
        {
            _stop = true;
            _writer.Join();
        }

        /// <summary>Two windows in turn: garbage in one, the truth in the other; at the end the truth in both.</summary>
        private void Write()
        {
            var (ram, truth) = (Memory.Blocks[0], _saved.Memory.Blocks[0]);
            var pages = Enumerable.Range(0, WindowPages).Select(i => 512L + i * 7L).ToArray();
            for (byte pass = 1; !_stop; pass++)
            {
                foreach (var page in pages)
                    ram.Span(page << TargetPage.Shift, TargetPage.Size).Fill(pass);
                foreach (var page in pages)
                    truth.Span(page << TargetPage.Shift, TargetPage.Size).CopyTo(ram.Span(page << TargetPage.Shift, TargetPage.Size));
                Thread.Yield();
            }
        }
    }
}
