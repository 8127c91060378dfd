using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Send;

/// <summary>
/// Every QEMU as source x every QEMU as destination x every way to send: the VM is taken off the first by `receive` and put on the second
/// by `send`, where its memory is the file's to the byte and its guest goes on.
/// </summary>
public sealed class SendMatrixTests(SavedVms vms) : SendTest(vms)
{
    public static TheoryData<string, string, string> Cases => new(
        from source in QemuVersion.All
        from destination in QemuVersion.All
        from variant in SendVariant.All
        select new TheoryDataRow<string, string, string>(source.Label, destination.Label, variant.Name));

    public static TheoryData<string, int, string, string> QemuFiles => new(
        from machine in (string[])["pc-q35-7.2", "pc-q35-10.0"]
        from written in (int[])[0, 4]
        from destination in QemuVersion.All
        where machine == "pc-q35-7.2" || destination.HasMappedRam
        // Which of the two ways to write goes with which way to send does not matter: every pair of files and destinations is here once.
        let variant = SendVariant.All[written == 0 ? 0 : 1]
        select new TheoryDataRow<string, int, string, string>(machine, written, destination.Label, variant.Name));

    public static TheoryData<string, string, int> ManyChannels => new(
        from version in QemuVersion.All
        from channels in (int[])[1, 16]
        select new TheoryDataRow<string, string, int>(version.Label, MachineFor([version]), channels));

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_guest_moves_from_any_QEMU_to_any_other_through_a_file(string source, string destination, string variant)
    {
        var (from, to) = (QemuVersion.Parse(source), QemuVersion.Parse(destination));
        var vm = await Vms.ReceivedAsync(from, MachineFor(from, to));

        await ArrivesAsync(vm, to, SendVariant.Parse(variant));
    }

    [Theory]
    [MemberData(nameof(QemuFiles))]
    public async Task A_file_that_QEMU_has_written_is_sent(string machine, int writtenOverChannels, string destination, string variant)
    {
        var vm = await Vms.WrittenByQemuAsync(QemuVersion.V111, machine, writtenOverChannels);

        await ArrivesAsync(vm, QemuVersion.Parse(destination), SendVariant.Parse(variant));
    }

    [Theory(Explicit = true)]
    [MemberData(nameof(ManyChannels))]
    public async Task Any_number_of_channels_will_do(string destination, string machine, int channels)
    {
        var vm = await Vms.ReceivedAsync(QemuVersion.Parse(destination), machine);

        await ArrivesAsync(vm, QemuVersion.Parse(destination),
            new SendVariant("") { Qemu = new MigrationSettings { Channels = channels } });
    }

    [Theory]
    [InlineData("7.2")]
    [InlineData("11.1")]
    public async Task A_QEMU_with_a_UUID_wants_it_on_every_channel(string destination)
    {
        var version = QemuVersion.Parse(destination);
        var vm = await Vms.ReceivedAsync(version, MachineFor([version]));
        var variant = SendVariant.All[1] with { QemuArguments = ["-uuid", "00112233-4455-6677-8899-aabbccddeeff"] };

        await ArrivesAsync(vm, version, variant with { Options = ["--uuid", "00112233-4455-6677-8899-aabbccddeeff"] });
    }

    [Fact]
    public async Task A_QEMU_that_waits_at_a_Unix_socket_is_reached()
    {
        var vm = await Vms.ReceivedAsync(QemuVersion.V100, "pc-q35-10.0");

        await ArrivesAsync(vm, QemuVersion.V100, SendVariant.All[1], listenAt: $"unix:{Work["incoming"]}");
    }

    [Fact]
    public async Task A_guest_that_was_sent_can_be_received_and_sent_again()
    {
        var vm = await Vms.ReceivedAsync(QemuVersion.V111, "pc-q35-10.0");
        var copy = Path.Combine(Work.NewFolder("out"), "vm");
        var receive = await StartAsync(new ReceiveOptions { Out = copy, Channels = 3 });

        await using var send = await SendProcess.StartAsync(vm.Path, receive.Uri, 3, Work,
            ["--max-bandwidth", "1G", "--bind", "127.0.0.1", "--bind", "127.0.0.2"]);
        var sent = await send.WaitAsync(Token);
        var received = await receive.WaitAsync(Token);

        Assert.True(sent.ExitCode == 0, sent.ToString());
        Assert.True(received.ExitCode == 0, received.ToString());
        Assert.Equal(sent.Json.GetProperty("blocks").ToString(), received.Json.GetProperty("blocks").ToString());
        await ArrivesAsync(vm with { Path = copy }, QemuVersion.V100, SendVariant.All[1]);
    }
}
