using System.Net;
using System.Net.Sockets;
using DataPlane.QemuTests.Harness;
using DataPlane.QemuTests.Send;
using DataPlane.TestSupport;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>A destination that does not listen by itself: a command brings it what `send` says, or QEMU is given the connection.</summary>
public sealed class TransportSendTests(SavedVms vms) : SendTest(vms)
{
    [Theory(Explicit = true)]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task By_a_command(string version)
    {
        using var listener = Listen(out var address);
        var destination = await StartDestinationAsync(version);
        await destination.StartIncomingAsync(
            $"exec:bash -c 'exec 3<>/dev/tcp/{address.Address}/{address.Port}; cat <&3 & cat >&3'", Token);
        var command = await listener.AcceptAsync(Token);
        await using var send = await SendAsync(version, address);

        await using var link = new FaultLink(await listener.AcceptAsync(Token), command, FaultPlan.None);

        await ArrivesAsync(send, destination);
    }

    [Theory(Explicit = true)]
    [InlineData("7.2")]
    [InlineData("10.0")]
    [InlineData("11.1")]
    public async Task By_a_connection(string version)
    {
        using var listener = Listen(out var address);
        var destination = await StartDestinationAsync(version);
        await using var send = await SendAsync(version, address);
        using (var connection = await listener.AcceptAsync(Token))
        {
            await destination.GiveDescriptorAsync("migration", connection, Token);
        }

        await destination.StartIncomingAsync("fd:migration", Token);

        await ArrivesAsync(send, destination);
    }

    private static async Task ArrivesAsync(SendProcess send, QemuProcess destination)
    {
        var result = await send.WaitAsync(Token);
        Assert.True(result.ExitCode == 0, result.ToString());
        await destination.WaitForMigrationAsync("completed", Token);
        var first = await destination.Console.WaitForAsync(_ => true, "it goes on", Token);
        await destination.Console.WaitForAsync(report => report.Round >= first.Round + 2, "all of its memory is right", Token);
    }

    private static Socket Listen(out IPEndPoint address)
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        address = (IPEndPoint)listener.LocalEndPoint!;
        return listener;
    }

    private async Task<QemuProcess> StartDestinationAsync(string label)
    {
        var version = QemuVersion.Parse(label);
        var vm = await Vms.ReceivedAsync(version, MachineFor([version]));
        var destination = await StartAsync(vm.Options.IncomingIn(version), "destination");
        await destination.PrepareMigrationAsync(new MigrationSettings { ReturnPath = true }, Token);
        return destination;
    }

    private async Task<SendProcess> SendAsync(string label, IPEndPoint address)
    {
        var version = QemuVersion.Parse(label);
        var vm = await Vms.ReceivedAsync(version, MachineFor([version]));
        return await SendProcess.StartAsync(vm.Path, $"tcp:{address}", 0, Work, ["--timeout", "60s"]);
    }
}
