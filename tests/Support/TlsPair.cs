using DataPlane.Linux;
using DataPlane.Transport;
using DataPlane.Transport.Tls;

namespace DataPlane.TestSupport;

/// <summary>Two channels with a TLS session between them: the client dials, the server is made as admission makes it.</summary>
internal sealed class TlsPair : IAsyncDisposable
{
    private readonly TlsCredentials _serverSide;
    private readonly TlsCredentials _clientSide;

    private TlsPair(TlsCredentials serverSide, TlsCredentials clientSide)
    {
        _serverSide = serverSide;
        _clientSide = clientSide;
    }

    internal required Channel Client { get; init; }

    internal required Channel Server { get; init; }

    internal required BlockPool Pool { get; init; }

    internal static async Task<TlsPair> ConnectAsync(TestAuthority authority, CancellationToken cancellationToken)
    {
        var serverSide = TlsCredentials.FromFolder(authority.Folder, TlsEnd.Server);
        var clientSide = TlsCredentials.FromFolder(authority.Folder, TlsEnd.Client);
        using var listener = ChannelListener.Listen(ChannelAddress.Parse("127.0.0.1:0"), new ChannelOptions());
        var pool = new BlockPool();
        var dialling = ChannelDialer.ConnectAsync(
            listener.LocalAddress, new ChannelOptions(), ChannelId.Multifd(0), 0, pool, cancellationToken,
            tls: new TlsDial(clientSide, "127.0.0.1", TimeSpan.FromSeconds(30)));
        PollCalls.WaitFor(listener.Handle, PollCalls.PollIn, null, Timeout.Infinite);
        _ = listener.TryAccept(out var accepted, out _);
        using var upgrade = new OpenSslUpgrade(serverSide);
        var upgraded = await upgrade.UpgradeAsync(
            accepted.Socket, accepted.Peer.ToString(), ReadOnlyMemory<byte>.Empty, cancellationToken);
        return new TlsPair(serverSide, clientSide)
        {
            Client = await dialling,
            Server = new Channel(upgraded.Socket, ChannelId.Multifd(0), "client", pool, null, upgraded.Session),
            Pool = pool,
        };
    }

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync();
        await Server.DisposeAsync();
        Pool.Dispose();
        _serverSide.Dispose();
        _clientSide.Dispose();
    }
}
