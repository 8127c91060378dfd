using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using DataPlane.Tests.Guard;
using DataPlane.TestSupport;
using DataPlane.Transport.Tls;
using Xunit;

namespace DataPlane.Tests.Transport.Tls;

/// <summary>A session on loopback, its client, and the plain socket on the other side of its server.</summary>
public sealed class TlsBridgeTests : IDisposable
{
    private readonly TestAuthority _authority = new();

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData(SslProtocols.Tls12)]
    [InlineData(SslProtocols.Tls13)]
    public async Task Bytes_pass_both_ways_unchanged(SslProtocols protocols)
    {
        await using var scene = await OpenAsync(protocols);
        var bytes = new byte[3_000_000];
        RandomNumberGenerator.Fill(bytes);
        var inside = scene.Inner.ReceiveAsync(bytes.Length, Token);
        await scene.Client.SayAsync(bytes);
        Assert.Equal(bytes, await inside);

        var outside = scene.Client.HearAsync(bytes.Length);
        await Task.Run(() => scene.Inner.Send(bytes), Token);
        Assert.Equal(bytes, await outside);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_peer_s_end_is_passed_on_with_or_without_close_notify_and_the_other_direction_goes_on(bool clean)
    {
        await using var scene = await OpenAsync();
        await scene.Client.SayAsync([1, 2, 3]);
        if (clean)
        {
            await scene.Client.Stream.ShutdownAsync();
        }

        scene.Client.Peer.Finish();
        (var end, var bytes) = await scene.Inner.ReadToEndAsync(Token);
        Assert.Equal((PeerEnd.Closed, 3), (end, bytes.Length));

        scene.Inner.Send(7);
        Assert.Equal([7], await scene.Client.HearAsync(1));
        Assert.False(scene.Bridge.Completion.IsCompleted);
        scene.Inner.Dispose();
        await scene.Bridge.Completion.WaitAsync(TimeSpan.FromMinutes(1), Token);
        Assert.Null(scene.Bridge.Failure);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task The_inner_end_is_FIN_for_the_peer_after_a_close_notify_only_where_one_is_wanted(bool sendsCloseNotify)
    {
        await using var scene = await OpenAsync(sendsCloseNotify: sendsCloseNotify);
        scene.Inner.Send(1, 2, 3);
        Assert.Equal([1, 2, 3], await scene.Client.HearAsync(3));
        scene.Inner.Finish();
        var rest = (await scene.Client.Peer.ReadToEndAsync(Token)).Bytes.Length;
        Assert.Equal(sendsCloseNotify, rest > 0); // an alert, encrypted

        await scene.Client.SayAsync([9]);
        Assert.Equal([9], await scene.Inner.ReceiveAsync(1, Token));
        scene.Client.Dispose();
        await scene.Inner.ReadToEndAsync(Token);
        await scene.Bridge.Completion.WaitAsync(TimeSpan.FromMinutes(1), Token);
    }

    [Fact]
    public async Task An_inner_socket_that_is_closed_ends_the_session_though_the_peer_is_silent_and_what_it_sent_arrives()
    {
        await using var scene = await OpenAsync();
        await scene.Client.SayAsync([1, 2, 3]); // never read
        await Eventually.TrueAsync(() => scene.Inner.Socket.Available == 3, "it is there", Token);
        var words = new byte[100_000];
        scene.Inner.Send(words);
        scene.Inner.Dispose();
        await scene.Client.HearAsync(words.Length);
        Assert.Equal(0, await scene.Client.Stream.ReadAsync(new byte[1], Token));
        await scene.Bridge.Completion.WaitAsync(TimeSpan.FromMinutes(1), Token);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_session_that_breaks_ends_the_inner_socket_and_says_why(bool reset)
    {
        await using var scene = await OpenAsync();
        await scene.Client.SayAsync([1]);
        await scene.Inner.ReceiveAsync(1, Token);
        if (reset)
        {
            scene.Client.Peer.Reset();
        }
        else
        {
            scene.Client.Peer.Send(
                23, 3, 3, 0, 30,
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30);
        }

        await scene.Inner.ReadToEndAsync(Token);
        await scene.Bridge.Completion.WaitAsync(TimeSpan.FromMinutes(1), Token);
        Assert.NotNull(scene.Bridge.Failure);
    }

    [Fact]
    public async Task A_receiver_that_reads_nothing_slows_the_sender_down()
    {
        await using var scene = await OpenAsync();
        var block = new byte[1 << 20];
        long sent = 0;
        using var enough = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var sending = Task.Run(async () =>
        {
            while (true)
            {
                await scene.Client.Stream.WriteAsync(block, enough.Token);
                Interlocked.Add(ref sent, block.Length);
            }
        }, Token);
        long before = -1;
        await Eventually.TrueAsync(
            () => Interlocked.Exchange(ref before, Interlocked.Read(ref sent)) == Interlocked.Read(ref sent) && sent > 0,
            "it stands still", Token);
        Assert.InRange(Interlocked.Read(ref sent), 0, 64L << 20);
        await enough.CancelAsync();
        await sending.ContinueWith(_ => { }, TaskScheduler.Default);
    }

    public void Dispose() => _authority.Dispose();

    private async Task<Scene> OpenAsync(SslProtocols protocols = SslProtocols.Tls12, bool sendsCloseNotify = false)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        var client = TlsKnock.ComeAsync(ChannelAddress.From((IPEndPoint)listener.LocalEndPoint!), _authority.Folder);
        var outer = await listener.AcceptAsync(Token);
        var tls = new SslStream(new PrefixedStream(new NetworkStream(outer, ownsSocket: true), default));
        using var credentials = TlsCredentials.FromFolder(_authority.Folder, TlsEnd.Server);
        await tls.AuthenticateAsServerAsync(credentials.ServerOptions(protocols), Token);
        var bridge = TlsBridge.Begin(tls, outer, sendsCloseNotify, TimeProvider.System, out var inner);
        return new Scene(await client, bridge, new ScriptedPeer(new Socket(inner)));
    }

    private sealed record Scene(TlsKnock Client, TlsBridge Bridge, ScriptedPeer Inner) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await Bridge.DisposeAsync();
            Client.Dispose();
            Inner.Dispose();
        }
    }
}
