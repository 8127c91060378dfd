using System.Net;
using System.Net.Sockets;
using DataPlane.Memory;
using DataPlane.Migration;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Migration;

/// <summary>Return path message 8, which a destination of the future may send at any time.</summary>
public sealed class VmStartedTests
{
    private static readonly byte[] s_twice = [0, 8, 0, 0, 0, 8, 0, 4, 1, 2, 3, 4];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_source_counts_it_and_goes_on(bool postcopy)
    {
        var token = TestContext.Current.CancellationToken;
        using var guest = new TestGuest(RamBlock.Allocate("pc.ram", 1 << 20, RamAllocation.Default));
        guest.Memory.Blocks[0].Span(0, 4096).Fill(7);
        using var incoming = new TestIncomingGuest();
        await using var destination = new MigrationDestination(
            [ChannelAddress.Parse("127.0.0.1:0")], incoming, new() { Postcopy = postcopy });
        var receiving = destination.ReceiveAsync(cancellationToken: token);
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var relaying = RelayAsync(listener, destination.LocalAddresses[0].Port, token);

        var report = await new MigrationSource(guest, new() { Postcopy = postcopy }).MigrateAsync(
            ChannelAddress.Parse(listener.LocalEndpoint.ToString()!), cancellationToken: token);

        Assert.Equal(2, report.VmStartedMessages);
        Assert.Equal(postcopy, report.Postcopy is not null);
        Assert.Equal(0, (await receiving).VmStartedMessages);
        await relaying;
        incoming.AssertSameMemoryAs(guest.Memory);
    }

    /// <summary>Main, with the messages before everything that comes back.</summary>
    private static async Task RelayAsync(TcpListener listener, int port, CancellationToken token)
    {
        using var source = await listener.AcceptTcpClientAsync(token);
        using var destination = new TcpClient();
        await destination.ConnectAsync(IPAddress.Loopback, port, token);
        await source.GetStream().WriteAsync(s_twice, token);
        await Task.WhenAll(CopyAsync(source, destination), CopyAsync(destination, source));

        async Task CopyAsync(TcpClient from, TcpClient to)
        {
            await from.GetStream().CopyToAsync(to.GetStream(), token);
            to.Client.Shutdown(SocketShutdown.Send);
        }
    }
}
