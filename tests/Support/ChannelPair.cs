using System.Net;
using System.Net.Sockets;
using DataPlane.Transport;

namespace DataPlane.TestSupport;

/// <summary>A dialled channel with, at its other end, a scripted peer.</summary>
internal sealed class ChannelPair : IAsyncDisposable
{
    private readonly string? _folder;

    private ChannelPair(Channel channel, ScriptedPeer peer, BlockPool pool, string? folder)
    {
        Channel = channel;
        Peer = peer;
        Pool = pool;
        _folder = folder;
    }

    internal Channel Channel { get; }

    internal ScriptedPeer Peer { get; }

    internal BlockPool Pool { get; }

    internal static async Task<ChannelPair> ConnectAsync(
        CancellationToken cancellationToken, bool unix = false, ChannelOptions? options = null, TimeProvider? time = null)
    {
        var folder = unix ? Directory.CreateTempSubdirectory("dataplane-").FullName : null;
        EndPoint local = folder is null ? new IPEndPoint(IPAddress.Loopback, 0) : new UnixDomainSocketEndPoint(Path.Combine(folder, "s"));
        using var listener = new Socket(local.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(local);
        listener.Listen(1);
        var address = folder is null
            ? ChannelAddress.From((IPEndPoint)listener.LocalEndPoint!)
            : ChannelAddress.Unix(Path.Combine(folder, "s"));
        var pool = new BlockPool();
        var channel = await ChannelDialer.ConnectAsync(
            address, options ?? new ChannelOptions(), ChannelId.Main, 0, pool, cancellationToken, time);
        return new ChannelPair(channel, new ScriptedPeer(listener.Accept()), pool, folder);
    }

    public async ValueTask DisposeAsync()
    {
        await Channel.DisposeAsync();
        Peer.Dispose();
        Pool.Dispose();
        if (_folder is not null)
        {
            Directory.Delete(_folder, recursive: true);
        }
    }
}
