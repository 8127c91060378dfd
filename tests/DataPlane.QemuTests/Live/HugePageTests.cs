using DataPlane.Images;
using DataPlane.Linux;
using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Live;

/// <summary>Postcopy between a real QEMU whose memory is reserved huge pages and a host of the library, in both directions.</summary>
public sealed class HugePageTests(Send.SavedVms vms) : LiveDestinationTest
{
    private static readonly QemuOptions s_machine = new() { Version = QemuVersion.V111, Machine = "pc-q35-10.0" };

    private ReservedHugePages? _reserved;

    /// <summary>What is reserved is given back after the processes that use it: they would hold it longer.</summary>
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _reserved?.Dispose();
        GC.SuppressFinalize(this);
    }

    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 0)]
    [InlineData(true, 2)]
    public async Task Huge_pages_come_on_demand_from_a_real_source_onto_huge_pages(bool preempt, int channels)
    {
        _reserved = ReservedHugePages.For(2 * s_machine.MemoryBytes);
        var source = await StartSourceAsync(OnHugePages(s_machine));

        await ArrivesAsync(
            source, RamAllocation.Default with { HugePages = false, Shared = channels > 0 },
            new MigrationDestinationOptions { Preempt = preempt, MultifdChannels = channels },
            MemoryMapping.HugePageSize);
    }

    [Theory]
    [InlineData(false, Explicit = true)]
    [InlineData(true)]
    public async Task A_saved_VM_runs_at_once_in_a_real_QEMU_on_huge_pages(bool preempt)
    {
        _reserved = ReservedHugePages.For(s_machine.MemoryBytes);
        var vm = await vms.ReceivedAsync(QemuVersion.V111, s_machine.Machine);
        var destination = await WaitingAsync(preempt);
        using var saved = MappedRamSource.Open(vm.Path);

        var report = await new MigrationSource(saved, Options(preempt)).MigrateAsync(destination.Address, cancellationToken: Token);

        Assert.InRange(report.Postcopy!.RequestedPages, MemoryMapping.HugePageSize / TargetPage.Size, saved.Memory.TotalPages);
        await FindsItsMemoryRightAsync(destination.Machine);
    }

    [Fact]
    public async Task A_live_guest_goes_on_in_a_real_QEMU_on_huge_pages()
    {
        Assert.SkipUnless(PagemapDirtyTracker.IsSupported(out var reason), reason ?? "");
        _reserved = ReservedHugePages.For(s_machine.MemoryBytes);
        var vm = await vms.ReceivedAsync(QemuVersion.V111, s_machine.Machine);
        var destination = await WaitingAsync(preempt: true);
        using var saved = MappedRamSource.Open(vm.Path);
        using var guest = new Send.LiveGuest(saved);
        var source = new MigrationSource(
            guest, Options(preempt: true) with { MaxBytesPerSecond = 200 << 20, MaxDowntime = TimeSpan.FromMicroseconds(1) });

        var report = await source.MigrateAsync(destination.Address, new SwitchInSecondRound(source), Token);

        Assert.True(report.Rounds > 1, $"{report.Rounds} rounds");
        await FindsItsMemoryRightAsync(destination.Machine);
    }

    private static MigrationSourceOptions Options(bool preempt) => new()
    {
        Postcopy = true,
        Preempt = preempt,
        MaxPostcopyBytesPerSecond = 64 << 20,
        HostPageSizes = new Dictionary<string, long> { ["pc.ram"] = MemoryMapping.HugePageSize },
        ProgressInterval = TimeSpan.FromMilliseconds(2),
    };

    /// <summary>The block keeps its name, so that every saved VM fits.</summary>
    private static QemuOptions OnHugePages(QemuOptions options) => options with
    {
        Extra =
        [
            .. options.Extra,
            "-object", $"memory-backend-memfd,id=pc.ram,size={options.MemoryMiB}M,hugetlb=on,hugetlbsize=2M",
            "-machine", "memory-backend=pc.ram",
        ],
    };

    private async Task<(QemuProcess Machine, ChannelAddress Address)> WaitingAsync(bool preempt)
    {
        var machine = await StartAsync(OnHugePages(s_machine).IncomingIn(QemuVersion.V111), "destination");
        await machine.PrepareMigrationAsync(
            new MigrationSettings { Capabilities = preempt ? ["postcopy-ram", "postcopy-preempt"] : ["postcopy-ram"] }, Token);
        var uri = await machine.StartIncomingAsync("tcp:127.0.0.1:0", Token);
        return (machine, ChannelAddress.Parse(uri["tcp:".Length..]));
    }

    /// <summary>Two rounds of the guest look at every page that it has.</summary>
    private static async Task FindsItsMemoryRightAsync(QemuProcess machine)
    {
        await machine.WaitForMigrationAsync("completed", Token);
        var first = await machine.Console.WaitForAsync(_ => true, "it goes on", Token);
        await machine.Console.WaitForAsync(report => report.Round >= first.Round + 2, "it has found all of its memory right", Token);
    }

    private sealed class SwitchInSecondRound(MigrationSource source) : IProgress<MigrationProgress>
    {
        public void Report(MigrationProgress value)
        {
            if (value.Round == 2)
            {
                source.SwitchToPostcopy();
            }
        }
    }
}
