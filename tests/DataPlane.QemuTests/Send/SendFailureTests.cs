using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Send;

/// <summary>
/// Whatever a destination does: exit code 1, one line that says what, on which channel and in which phase, and the file as it was.
/// </summary>
public sealed class SendFailureTests(SavedVms vms) : SendTest(vms)
{
    public static TheoryData<string> Versions => new(QemuVersion.All.Select(version => version.Label));

    public static TheoryData<string, int> VersionsAndChannels => new(
        from version in QemuVersion.All from channels in (int[])[0, 2] select new TheoryDataRow<string, int>(version.Label, channels));

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task The_destination_expects_fewer_channels(string version)
    {
        var vm = await OwnAsync(version);
        var destination = await WaitingAsync(vm, QemuVersion.Parse(version), new MigrationSettings { Channels = 2 });

        await ExpectFailureAsync(vm, destination.Uri, 4, ["--timeout", "5s"], "it may expect fewer multifd channels than 4");
    }

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task The_destination_expects_more_channels(string version)
    {
        var vm = await OwnAsync(version);
        var destination = await WaitingAsync(vm, QemuVersion.Parse(version), new MigrationSettings { Channels = 4 });

        await ExpectFailureAsync(vm, destination.Uri, 2, ["--timeout", "5s"], "it may expect more multifd channels than 2");
    }

    [Theory]
    [MemberData(nameof(VersionsAndChannels))]
    public async Task The_destination_is_another_machine(string version, int channels)
    {
        var vm = await OwnAsync(version);
        // The name is compared with the destination's own; a longer one differs.
        var destination = await WaitingAsync(
            vm, QemuVersion.Parse(version), new MigrationSettings { Channels = channels },
            change: options => options with { Machine = "pc-q35-6.2" });

        await ExpectFailureAsync(vm, destination.Uri, channels, ["--timeout", "20s"], "without SHUT");
    }

    [Theory]
    [MemberData(nameof(VersionsAndChannels))]
    public async Task The_destination_has_less_memory_and_refuses(string version, int channels)
    {
        var vm = await OwnAsync(version);
        var destination = await WaitingAsync(
            vm, QemuVersion.Parse(version), new MigrationSettings { Channels = channels },
            change: options => options with { MemoryMiB = 64 });

        await ExpectFailureAsync(vm, destination.Uri, channels, ["--timeout", "20s"], version == "7.2" ? "without SHUT" : "SHUT 1");
    }

    [Theory]
    [MemberData(nameof(VersionsAndChannels))]
    public async Task The_destination_dies_on_the_way(string version, int channels)
    {
        var vm = await OwnAsync(version);
        var destination = await WaitingAsync(vm, QemuVersion.Parse(version), new MigrationSettings { Channels = channels });
        await using var send = await SendProcess.StartAsync(vm.Path, destination.Uri, channels, Work, ["--max-bandwidth", "8M"]);
        await destination.Machine.WaitForStateAsync("active", Token);

        await destination.Machine.DisposeAsync();

        var result = await send.WaitAsync(Token);
        CheckFailure(result, "without SHUT");
    }

    [Theory]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task A_wrong_machine_option_towards_a_newer_machine_is_a_clear_end_and_no_hang(string version)
    {
        var vm = await OwnAsync(version);
        var destination = await WaitingAsync(vm, QemuVersion.Parse(version), new MigrationSettings { Channels = 2 });

        await ExpectFailureAsync(vm, destination.Uri, 2, ["--machine", "pc-q35-7.2", "--timeout", "5s"],
            "may synchronise multifd in another way");
    }

    [Theory]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task A_wrong_machine_option_towards_an_older_machine_is_a_clear_end_and_no_hang(string version)
    {
        var vm = await Vms.ReceivedAsync(QemuVersion.Parse(version), "pc-q35-7.2");
        var destination = await WaitingAsync(vm, QemuVersion.Parse(version), new MigrationSettings { Channels = 2 });

        await ExpectFailureAsync(
            vm, destination.Uri, 2, ["--machine", "pc-q35-10.0", "--timeout", "5s"],
            version == "7.2" ? "without SHUT" : "may synchronise multifd in another way");
    }

    private Task<SavedVm> OwnAsync(string version) =>
        Vms.ReceivedAsync(QemuVersion.Parse(version), MachineFor([QemuVersion.Parse(version)]));

    private async Task ExpectFailureAsync(SavedVm vm, string uri, int channels, string[] options, string expectedInLine)
    {
        await using var send = await SendProcess.StartAsync(vm.Path, uri, channels, Work, options);
        CheckFailure(await send.WaitAsync(Token), expectedInLine);
    }
}
