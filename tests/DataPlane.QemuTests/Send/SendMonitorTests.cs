using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Send;

/// <summary>`send --qmp`: what would not work is said in words before anything is sent, and what works works as without.</summary>
public sealed class SendMonitorTests(SavedVms vms) : SendTest(vms)
{
    private ReservedHugePages? _reserved;

    /// <summary>The pages are given back after the end of the processes that use them.</summary>
    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        _reserved?.Dispose();
        GC.SuppressFinalize(this);
    }

    public static TheoryData<string> Versions => new(QemuVersion.All.Select(version => version.Label));

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task A_destination_that_fits_is_sent_to(string version)
    {
        var vm = await OwnAsync(version);
        var (machine, uri, monitor) = await MonitoredAsync(vm, version, new MigrationSettings { Channels = 2 });
        await using var send = await SendProcess.StartAsync(vm.Path, uri, 2, Work, "--qmp", monitor, "--timeout", "60s");

        var result = await send.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        await machine.WaitForMigrationAsync("completed", Token);
        await RunsOnAsync(machine, vm.Last);
    }

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task Each_difference_is_named_and_the_destination_still_waits(string version)
    {
        var vm = await OwnAsync(version);
        var (machine, uri, monitor) = await MonitoredAsync(
            vm, version, new MigrationSettings { Channels = 4 },
            options => options with { Machine = "pc-q35-6.2", MemoryMiB = 64 });

        await ExpectDifferencesAsync(vm, uri, monitor, ["--channels", "2"],
            "its machine type is 'pc-q35-6.2', the saved VM's is '" + vm.Options.Machine + "'",
            "it waits for 4 multifd channels (its parameter multifd-channels), --channels says 2",
            "RAM block 'pc.ram' has 67,108,864 bytes there and 134,217,728 bytes in the saved VM");
        Assert.Equal("inmigrate", await machine.StatusAsync(Token));
    }

    [Theory]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task A_device_with_another_ROM_is_named(string version)
    {
        var plain = await OwnAsync(version);
        var rom = Work["other.rom"];
        await File.WriteAllBytesAsync(rom, new byte[1 << 20], Token);
        var own = plain.Options with { Extra = [.. plain.Options.Extra, "-device", "virtio-net-pci,id=rommed"] };
        var source = await StartAsync(own, "source");
        var file = Work["rommed"];
        await SaveAsync(source, file);
        var (_, uri, monitor) = await MonitoredAsync(
            new SavedVm(file, own, plain.Last), version, new MigrationSettings(),
            options => options with { Extra = [.. plain.Options.Extra, "-device", $"virtio-net-pci,id=rommed,romfile={rom}"] });

        await ExpectDifferencesAsync(new SavedVm(file, own, plain.Last), uri, monitor, [], ".rom' has 1,048,576 bytes there and ",
            "the device has another ROM there");
    }

    [Theory]
    [InlineData("7.2", "--postcopy", "its capability postcopy-ram is off")]
    [InlineData("11.1", "--channels 2", "its capability multifd is off")]
    public async Task Capabilities_are_compared(string version, string options, string expected)
    {
        var vm = await OwnAsync(version);
        var (_, uri, monitor) = await MonitoredAsync(vm, version, new MigrationSettings());
        await ExpectDifferencesAsync(vm, uri, monitor, options.Split(' '), expected);
    }

    [Theory]
    [InlineData("7.2", false, false)]
    [InlineData("10.0", true, true)]
    [InlineData("11.1", false, true)]
    [InlineData("11.1", true, false)]
    public async Task A_saved_VM_runs_at_once_on_huge_pages(string version, bool preempt, bool asksTheMonitor)
    {
        _reserved = ReservedHugePages.For(128 << 20);
        var vm = await OwnAsync(version);
        string[] capabilities = preempt ? ["postcopy-ram", "postcopy-preempt"] : ["postcopy-ram"];
        var (machine, uri, monitor) = await MonitoredAsync(
            vm, version, new MigrationSettings { Capabilities = capabilities },
            options => OnPages(options, "2M") with { StayStopped = false });
        string[] told = asksTheMonitor ? ["--qmp", monitor] : ["--huge-pages", "2M"];
        await using var send = await SendProcess.StartAsync(
            vm.Path, uri, 0, Work, ["--postcopy", .. preempt ? (string[])["--preempt"] : [], .. told]);

        var result = await send.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        await machine.WaitForMigrationAsync("completed", Token);
        var first = await machine.Console.WaitForAsync(_ => true, "it goes on", Token);
        await machine.Console.WaitForAsync(report => report.Round >= first.Round + 2, "it has found all of its memory right", Token);
    }

    [Fact]
    public async Task Pages_of_another_size_than_it_has_are_refused_beforehand()
    {
        _reserved = ReservedHugePages.For(128 << 20);
        var vm = await OwnAsync("11.1");
        var (_, uri, monitor) = await MonitoredAsync(
            vm, "11.1", new MigrationSettings { Capabilities = ["postcopy-ram"] }, options => OnPages(options, "2M"));
        await ExpectDifferencesAsync(vm, uri, monitor, ["--postcopy", "--huge-pages", "4M"],
            "RAM block 'pc.ram' lies on pages of 2.00 MiB there, --huge-pages says 4.00 MiB");
    }

    /// <summary>The block keeps its name, so that every saved VM fits.</summary>
    private static QemuOptions OnPages(QemuOptions options, string size) => options with
    {
        Extra =
        [
            .. options.Extra,
            "-object", $"memory-backend-memfd,id=pc.ram,size={options.MemoryMiB}M,hugetlb=on,hugetlbsize={size}",
            "-machine", "memory-backend=pc.ram",
        ],
    };

    private Task<SavedVm> OwnAsync(string version) =>
        Vms.ReceivedAsync(QemuVersion.Parse(version), MachineFor([QemuVersion.Parse(version)]));

    private async Task SaveAsync(QemuProcess source, string file)
    {
        await source.PrepareMigrationAsync(new MigrationSettings { ReturnPath = true }, Token);
        await using var receive = await ReceiveProcess.StartAsync(new ReceiveOptions { Out = file }, Work, Token);
        await source.MigrateAsync(receive.Uri, Token);
        var result = await receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 0, result.ToString());
    }

    private async Task<(QemuProcess Machine, string Uri, string Monitor)> MonitoredAsync(
        SavedVm vm, string version, MigrationSettings settings, Func<QemuOptions, QemuOptions>? change = null)
    {
        var (machine, uri) = await WaitingAsync(vm, QemuVersion.Parse(version), settings,
            change: options => (change is null ? options : change(options)) with { SecondMonitor = true });
        return (machine, uri, $"unix:{machine.OfferSecondMonitor()}");
    }

    private async Task ExpectDifferencesAsync(SavedVm vm, string uri, string monitor, string[] options, params string[] expected)
    {
        var channels = options is ["--channels", var count] ? int.Parse(count, System.Globalization.CultureInfo.InvariantCulture) : 0;
        await using var send = await SendProcess.StartAsync(
            vm.Path, uri, channels, Work, ["--qmp", monitor, .. channels > 0 ? [] : options]);
        var result = await send.WaitAsync(Token);
        Assert.True(result.ExitCode == 1, result.ToString());
        var line = result.Errors[^1];
        TestContext.Current.TestOutputHelper?.WriteLine(line);
        Assert.Contains($"the QEMU at {monitor} cannot take this VM so: ", line, StringComparison.Ordinal);
        foreach (var part in expected)
        {
            Assert.Contains(part, line, StringComparison.Ordinal);
        }

        Assert.Equal("here", result.Json.GetProperty("guest").GetString());
    }
}
