using System.Text.Json.Nodes;
using DataPlane.QemuTests.Harness;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Send;

/// <summary>Instant restore: a saved VM runs in a waiting QEMU before its memory is there.</summary>
public sealed class SendPostcopyTests(SavedVms vms) : SendTest(vms)
{
    public static TheoryData<string, string, bool> Cases => new(
        from pair in (IEnumerable<(string From, string To)>)[("7.2", "7.2"), ("10.0", "10.0"), ("11.1", "11.1"), ("7.2", "11.1")]
        from preempt in (bool[])[false, true]
        select new TheoryDataRow<string, string, bool>(pair.From, pair.To, preempt));

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_saved_VM_runs_at_once_and_finds_all_of_its_memory(string from, string to, bool preempt)
    {
        var vm = await Vms.ReceivedAsync(QemuVersion.Parse(from), MachineFor([QemuVersion.Parse(from)]));
        var destination = await ExpectingPostcopyAsync(vm, to, preempt);
        await using var send = await SendProcess.StartAsync(vm.Path, destination.Uri, 0, Work, ["--postcopy", .. Preempt(preempt)]);

        var result = await send.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        await destination.Machine.WaitForMigrationAsync("completed", Token);
        await FindsItsMemoryRightAsync(destination.Machine, vm);
        CheckResult(result, vm, preempt);
    }

    [Theory]
    [InlineData("7.2", true)]
    [InlineData("10.0", false)]
    [InlineData("11.1", false)]
    [InlineData("11.1", true)]
    public async Task It_runs_while_most_of_its_memory_is_still_on_its_way(string version, bool preempt)
    {
        var vm = await Vms.ReceivedAsync(QemuVersion.Parse(version), MachineFor([QemuVersion.Parse(version)]));
        var destination = await ExpectingPostcopyAsync(vm, version, preempt);
        await using var send = await SendProcess.StartAsync(
            vm.Path, destination.Uri, 0, Work, ["--postcopy", .. Preempt(preempt), "--max-bandwidth", "4M"]);

        var first = await destination.Machine.Console.WaitForAsync(_ => true, "it goes on", Token);

        Assert.False(send.HasExited);
        Assert.InRange(first.Pass, vm.Last.Pass + 1, vm.Last.Pass + 3);
        var result = await send.WaitAsync(Token);
        Assert.True(result.ExitCode == 0, result.ToString());
        await destination.Machine.WaitForMigrationAsync("completed", Token);
        await FindsItsMemoryRightAsync(destination.Machine, vm);
        CheckResult(result, vm, preempt);
    }

    [Theory]
    [InlineData("11.1", false)]
    [InlineData("11.1", true)]
    public async Task It_is_paused_and_resumed_by_command_to_where_QEMU_waits_then(string version, bool preempt)
    {
        var vm = await Vms.ReceivedAsync(QemuVersion.Parse(version), MachineFor([QemuVersion.Parse(version)]));
        var destination = await ExpectingPostcopyAsync(vm, version, preempt);
        var control = Work["send.sock"];
        await using var send = await SendProcess.StartAsync(
            vm.Path, destination.Uri, 0, Work, ["--postcopy", .. Preempt(preempt), "--max-bandwidth", "2M", "--control", control]);
        await destination.Machine.WaitForGuestAsync(Token);

        await ToolProcess.RunAsync(Token, "postcopy", "pause", "--control", control);
        await destination.Machine.WaitForStateAsync("postcopy-paused", Token);
        var elsewhere = $"unix:{Work["again.sock"]}";
        await destination.Machine.ExecuteOutOfBandAsync("migrate-recover", new JsonObject { ["uri"] = elsewhere }, Token);
        await ToolProcess.RunAsync(Token, "postcopy", "resume", elsewhere, "--control", control);

        var result = await send.WaitAsync(Token);
        Assert.True(result.ExitCode == 0, result.ToString());
        Assert.Equal(1, result.Json.GetProperty("postcopy").GetProperty("recoveries").GetInt32());
        await destination.Machine.WaitForMigrationAsync("completed", Token);
        await FindsItsMemoryRightAsync(destination.Machine, vm);
    }

    [Theory]
    [InlineData("7.2", true)]
    [InlineData("10.0", false)]
    [InlineData("11.1", true)]
    public Task A_saved_VM_runs_at_once_inside_TLS(string version, bool preempt) => ArrivesInsideTlsAsync(version, preempt);

    [Theory(Explicit = true)]
    [InlineData("7.2", false)]
    [InlineData("10.0", true)]
    [InlineData("11.1", false)]
    public Task A_saved_VM_runs_at_once_inside_TLS_in_every_other_pair_too(string version, bool preempt) =>
        ArrivesInsideTlsAsync(version, preempt);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task It_is_fetched_by_receive_with_all_of_its_memory(bool secured)
    {
        using var authority = new TestAuthority();
        string[] options = ["--postcopy", "--preempt", .. secured ? ["--tls-dir", authority.Folder] : (string[])[]];
        var vm = await Vms.ReceivedAsync(QemuVersion.V111, "pc-q35-10.0");
        var copy = Path.Combine(Work.NewFolder("out"), "vm");
        var receive = await StartAsync(new ReceiveOptions { Out = copy, Extra = options });
        await using var send = await SendProcess.StartAsync(vm.Path, receive.Uri, 0, Work, options);

        var sent = await send.WaitAsync(Token);
        var received = await receive.WaitAsync(Token);

        Assert.True(sent.ExitCode == 0, sent.ToString());
        Assert.True(received.ExitCode == 0, received.ToString());
        Assert.Equal(sent.Json.GetProperty("blocks").ToString(), received.Json.GetProperty("blocks").ToString());
    }

    [Theory]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task A_destination_that_expects_no_postcopy_refuses_and_the_guest_stays_here(string version)
    {
        var vm = await Vms.ReceivedAsync(QemuVersion.Parse(version), MachineFor([QemuVersion.Parse(version)]));
        var destination = await WaitingAsync(vm, QemuVersion.Parse(version), new MigrationSettings());
        await using var send = await SendProcess.StartAsync(vm.Path, destination.Uri, 0, Work, ["--postcopy"]);

        var result = await send.WaitAsync(Token);

        Assert.True(result.ExitCode == 1, result.ToString());
        Assert.Equal("here", result.Json.GetProperty("guest").GetString());
    }

    private async Task ArrivesInsideTlsAsync(string version, bool preempt)
    {
        using var authority = new TestAuthority();
        var vm = await Vms.ReceivedAsync(QemuVersion.Parse(version), MachineFor([QemuVersion.Parse(version)]));
        var secured = new SendVariant("") { Qemu = Expecting(preempt) }.Between(CopyForQemu(authority.Folder), authority.Folder);
        var destination = await WaitingAsync(
            vm, QemuVersion.Parse(version), secured.Qemu, secured.QemuArguments,
            change: static options => options with { StayStopped = false });
        await using var send = await SendProcess.StartAsync(
            vm.Path, destination.Uri, 0, Work, ["--postcopy", .. Preempt(preempt), .. secured.Options]);

        var result = await send.WaitAsync(Token);

        Assert.True(result.ExitCode == 0, result.ToString());
        await destination.Machine.WaitForMigrationAsync("completed", Token);
        await FindsItsMemoryRightAsync(destination.Machine, vm);
        CheckResult(result, vm, preempt);
    }

    private async Task<(QemuProcess Machine, string Uri)> ExpectingPostcopyAsync(SavedVm vm, string version, bool preempt) =>
        await WaitingAsync(
            vm, QemuVersion.Parse(version),
            Expecting(preempt),
            change: static options => options with { StayStopped = false });

    private static MigrationSettings Expecting(bool preempt) =>
        new() { Capabilities = preempt ? ["postcopy-ram", "postcopy-preempt"] : ["postcopy-ram"] };

    private static string[] Preempt(bool preempt) => preempt ? ["--preempt"] : [];

    /// <summary>Two rounds of the guest look at every page that it has.</summary>
    private static async Task FindsItsMemoryRightAsync(QemuProcess machine, SavedVm vm)
    {
        var first = machine.Console.Reports is [var earlier, ..]
            ? earlier
            : await machine.Console.WaitForAsync(_ => true, "it goes on", Token);
        Assert.InRange(first.Pass, vm.Last.Pass + 1, vm.Last.Pass + 3);
        await machine.Console.WaitForAsync(report => report.Round >= first.Round + 2, "it has found all of its memory right", Token);
    }

    private static void CheckResult(SendResult result, SavedVm vm, bool preempt)
    {
        var json = result.Json;
        Assert.Equal("at_destination", json.GetProperty("guest").GetString());
        Assert.Equal(
            preempt ? ["main", "preempt"] : ["main"],
            json.GetProperty("channels").EnumerateArray().Select(static channel => channel.GetProperty("kind").GetString()!));
        var postcopy = json.GetProperty("postcopy");
        var (requested, start) = (postcopy.GetProperty("requested_pages").GetInt64(), postcopy.GetProperty("start_seconds").GetDouble());
        TestContext.Current.TestOutputHelper?.WriteLine($"package to PONG(0x42): {start * 1000:0.00} ms, {requested} pages asked for");
        Assert.InRange(requested, 1, postcopy.GetProperty("requests").GetInt64());
        using var file = MappedRamFile.Open(vm.Path);
        // What holds data goes exactly once; zero pages only when they are asked for, or where a record ends the preempt channel.
        var (stored, zero) = (file.Blocks.Sum(static block => block.StoredPages), json.GetProperty("zero_pages").GetInt64());
        Assert.Equal(stored, json.GetProperty("normal_pages").GetInt64());
        if (preempt && vm.Options.Machine == "pc-q35-7.2")
        {
            Assert.Equal(file.Blocks.Sum(static block => block.Length) / MappedRamBlock.PageSize, stored + zero);
        }
        else
        {
            Assert.InRange(zero, 0, requested);
        }
    }
}
