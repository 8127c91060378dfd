using System.Net;
using System.Net.Sockets;
using DataPlane.QemuTests.Harness;

namespace DataPlane.QemuTests.Compatibility;

/// <summary>A source that does not dial by itself: a command brings the stream to `receive`, or a connection that QEMU was given.</summary>
public sealed class TransportCaptureTests : ReceiveTest
{
    public static TheoryData<string, bool> All => new(
        from version in QemuVersion.All
        from returnPath in (bool[])[false, true]
        select new TheoryDataRow<string, bool>(version.Label, returnPath));

    [Theory(Explicit = true)]
    [MemberData(nameof(All))]
    public Task By_a_command(string version, bool returnPath) => ArrivesAsync(version, returnPath, static (_, address) => Task.FromResult(
        $"exec:bash -c 'exec 3<>/dev/tcp/{address.Address}/{address.Port}; cat <&3 & cat >&3; kill %1'"));

    [Theory(Explicit = true)]
    [MemberData(nameof(All))]
    public Task By_a_connection(string version, bool returnPath) => ArrivesAsync(version, returnPath, static async (source, address) =>
    {
        using var connection = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await connection.ConnectAsync(address, Token);
        await source.GiveDescriptorAsync("migration", connection, Token);
        return "fd:migration";
    });

    private async Task ArrivesAsync(string version, bool returnPath, Func<QemuProcess, IPEndPoint, Task<string>> connect)
    {
        var source = await StartSourceAsync(Newest(version));
        var receive = await StartAsync(new ReceiveOptions { Out = OutFile });
        await source.PrepareMigrationAsync(new MigrationSettings { ReturnPath = returnPath }, Token);

        await source.MigrateAsync(await connect(source, IPEndPoint.Parse(receive.Uri["tcp:".Length..])), Token);

        var result = await receive.WaitAsync(Token);
        Assert.True(result.ExitCode == 0, result.ToString());
        using (var file = MappedRamFile.Open(OutFile))
        {
            AssertSame(file, "pc.ram", await source.SaveMemoryAsync(Token));
        }

        await RunsOnAsync(source, false, QemuVersion.V111);
    }
}
