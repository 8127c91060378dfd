using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Multifd;

/// <summary>Two ends of one real loopback connection.</summary>
internal sealed class ChannelPair : IAsyncDisposable
{
    private ChannelPair(Channel client, Channel server)
    {
        Client = client;
        Server = server;
    }

    public Channel Client { get; }

    public Channel Server { get; }

    public static async Task<ChannelPair> CreateAsync(BlockPool pool)
    {
        using var listener = ChannelListener.Listen(ChannelAddress.Parse("127.0.0.1:0"), new ChannelOptions());
        var client = await ChannelDialer.ConnectAsync(
            listener.LocalAddress, new ChannelOptions(), ChannelId.Multifd(0), 0, pool, TestContext.Current.CancellationToken);
        AcceptedSocket accepted;
        while (listener.TryAccept(out accepted, out _) != AcceptOutcome.Accepted)
        {
            await Task.Yield();
        }

        return new ChannelPair(client, new Channel(accepted.Socket, ChannelId.Multifd(0), accepted.Peer.ToString(), pool));
    }

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync();
        await Server.DisposeAsync();
    }
}
