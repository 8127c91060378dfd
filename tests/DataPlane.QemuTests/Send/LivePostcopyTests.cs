using DataPlane.Images;
using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Send;

/// <summary>A source of the library hands a guest over to a real QEMU before its memory, and comes again when the link is lost.</summary>
public sealed class LivePostcopyTests(SavedVms vms) : SendTest(vms)
{
    [Theory]
    [InlineData("7.2", false, 0)]
    [InlineData("7.2", true, 0)]
    [InlineData("10.0", false, 0)]
    [InlineData("10.0", true, 0)]
    [InlineData("11.1", false, 0)]
    [InlineData("11.1", true, 0)]
    [InlineData("11.1", true, 4)]
    public async Task A_live_guest_switches_while_its_memory_is_being_written(string label, bool preempt, int channels)
    {
        Assert.SkipUnless(PagemapDirtyTracker.IsSupported(out var reason), reason ?? "");
        var (vm, destination) = await ExpectingPostcopyAsync(label, preempt, channels);
        using var saved = MappedRamSource.Open(vm.Path);
        using var guest = new LiveGuest(saved);
        MigrationSource? source = null;
        var second = new WhenReported(static value => value.Round == 2, () => source!.SwitchToPostcopy());
        source = new MigrationSource(guest, new MigrationSourceOptions
        {
            MultifdChannels = channels,
            Postcopy = true,
            Preempt = preempt,
            MaxBytesPerSecond = 200 << 20,
            MaxDowntime = TimeSpan.FromMicroseconds(1),
            ProgressInterval = TimeSpan.FromMilliseconds(2),
        });

        var report = await source.MigrateAsync(ChannelAddress.Parse(destination.Uri["tcp:".Length..]), second, Token);

        Assert.NotNull(report.Postcopy?.StartDelay);
        Assert.True(report.Rounds > 1, $"{report.Rounds} rounds");
        await destination.Machine.WaitForMigrationAsync("completed", Token);
        await FindsItsMemoryRightAsync(destination.Machine);
    }

    [Theory]
    [InlineData("7.2", true)]
    [InlineData("10.0", false)]
    [InlineData("10.0", true)]
    [InlineData("11.1", false)]
    [InlineData("11.1", true)]
    public Task A_lost_link_is_replaced_and_the_guest_runs_on(string label, bool preempt) => RecoverAsync(label, preempt);

    [Theory(Explicit = true)]
    [InlineData("7.2", false)]
    [InlineData("7.2", true)]
    [InlineData("10.0", true)]
    [InlineData("11.1", true)]
    public async Task A_lost_link_is_replaced_inside_TLS_too(string label, bool preempt)
    {
        using var authority = new TestAuthority();
        await RecoverAsync(label, preempt, authority);
    }

    private async Task RecoverAsync(string label, bool preempt, TestAuthority? authority = null)
    {
        var (vm, destination) = await ExpectingPostcopyAsync(label, preempt, channels: 0, authority);
        using var credentials = authority is null ? null : TlsCredentials.FromFolder(authority.Folder, TlsEnd.Client);
        using var saved = MappedRamSource.Open(vm.Path);
        MigrationSource? source = null;
        var address = ChannelAddress.Parse(destination.Uri["tcp:".Length..]);
        var running = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var lost = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var half = new WhenReported(
            value =>
            {
                if (value.IsPaused)
                {
                    lost.TrySetResult();
                }

                return value.Phase == MigrationPhase.Postcopy && running.Task.IsCompleted;
            },
            () => source!.Pause());
        source = new MigrationSource(saved, new MigrationSourceOptions
        {
            Postcopy = true,
            Preempt = preempt,
            MaxPostcopyBytesPerSecond = 2 << 20,
            RecoveryTimeout = TimeSpan.FromMinutes(2),
            ProgressInterval = TimeSpan.FromMilliseconds(20),
            Tls = credentials,
            DestinationQemuVersion = label == "7.2" ? new Version(7, 2) : null,
        });
        var moving = source.MigrateAsync(address, half, Token);
        await destination.Machine.WaitForGuestAsync(Token);
        running.SetResult();
        await lost.Task.WaitAsync(TimeSpan.FromMinutes(1), Token);
        await destination.Machine.WaitForStateAsync("postcopy-paused", Token);

        await source.ResumeAsync(address, Token);

        var report = await moving;
        Assert.Equal(1, report.Postcopy!.Recoveries);
        await destination.Machine.WaitForMigrationAsync("completed", Token);
        await FindsItsMemoryRightAsync(destination.Machine);
    }

    private async Task<(SavedVm Vm, (QemuProcess Machine, string Uri) Destination)> ExpectingPostcopyAsync(
        string label, bool preempt, int channels, TestAuthority? authority = null)
    {
        var version = QemuVersion.Parse(label);
        var vm = await Vms.ReceivedAsync(version, MachineFor([version]));
        var settings = new MigrationSettings
        {
            Channels = channels,
            Capabilities = preempt ? ["postcopy-ram", "postcopy-preempt"] : ["postcopy-ram"],
        };
        var variant = new SendVariant("") { Qemu = settings };
        if (authority is not null)
        {
            variant = variant.Between(CopyForQemu(authority.Folder), authority.Folder);
        }

        return (vm, await WaitingAsync(
            vm, version, variant.Qemu, variant.QemuArguments, change: static options => options with { StayStopped = false }));
    }

    /// <summary>Two rounds of the guest look at every page that it has.</summary>
    private static async Task FindsItsMemoryRightAsync(QemuProcess machine)
    {
        var first = await machine.Console.WaitForAsync(_ => true, "it goes on", Token);
        await machine.Console.WaitForAsync(report => report.Round >= first.Round + 2, "it has found all of its memory right", Token);
    }

    /// <summary>Does something once, at the first report that fits; again where it comes too early.</summary>
    private sealed class WhenReported(Func<MigrationProgress, bool> fits, Action act) : IProgress<MigrationProgress>
    {
        private bool _done;

        public void Report(MigrationProgress value)
        {
            if (!fits(value) || _done)
            {
                return;
            }

            try
            {
                act();
                _done = true;
            }
            catch (InvalidOperationException)
            {
                // There is no link yet: the next report tries again.
            }
        }
    }
}
