using System.Net;
using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class ChannelDialerTests : IDisposable
{
    private readonly BlockPool _pool = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public void Dispose()
    {
        _pool.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [InlineData("127.0.0.1:0")]
    [InlineData("[::1]:0")]
    [InlineData("localhost:0")]
    [InlineData(":0")]
    [InlineData("unix")]
    public async Task A_dialled_channel_blocks_and_is_unknown_to_the_runtimes_engine(string where)
    {
        Requires.FamilyOf(where);
        await StartTheRuntimesEngineAsync();
        using var listener = ChannelListener.Listen(
            where == "unix" ? ChannelAddress.Unix(_folder + "/s") : ChannelAddress.Parse(where), new ChannelOptions());
        var to = where == ":0" ? ChannelAddress.Parse($":{listener.LocalAddress.Port}") : listener.LocalAddress;
        await using var channel = await DialAsync(to, new ChannelOptions());
        Assert.Equal(AcceptOutcome.Accepted, listener.TryAccept(out var accepted, out _));
        await using Channel other = new(accepted.Socket, ChannelId.Main, accepted.Peer.ToString(), _pool);

        foreach (var end in new[] { channel, other })
        {
            Assert.Equal(0, SocketCalls.SocketControl(end.Handle, SocketCalls.ControlGetFlags, 0) & SocketCalls.FlagNonBlocking);
            Assert.DoesNotContain((int)end.Handle.DangerousGetHandle(), Descriptors.EpollMembers());
        }

        Exchange(channel, other);
        // The proof that the check can fail: stream use registers.
        Task read = other.Input.ReadAsync(Token).AsTask();
        Assert.Contains((int)other.Handle.DangerousGetHandle(), Descriptors.EpollMembers());
        channel.Abort();
        await Assert.ThrowsAnyAsync<ChannelException>(async () =>
        {
            await read;
            throw new ChannelException("unix sockets just end", ChannelEnd.Closed, 0, "");
        });
    }

    [Fact]
    public async Task Options_reach_both_ends()
    {
        ChannelOptions options = new()
        {
            SendBufferBytes = 64 * 1024,
            ReceiveBufferBytes = 128 * 1024,
            KeepAliveTime = TimeSpan.FromSeconds(11),
            KeepAliveInterval = TimeSpan.FromSeconds(3),
            KeepAliveProbes = 7,
            UserTimeout = TimeSpan.FromSeconds(17),
        };
        using var listener = ChannelListener.Listen(ChannelAddress.Parse("127.0.0.1:0"), options);
        await using var channel = await DialAsync(listener.LocalAddress, options);
        Assert.Equal(AcceptOutcome.Accepted, listener.TryAccept(out var accepted, out _));
        await using Channel other = new(accepted.Socket, ChannelId.Main, accepted.Peer.ToString(), _pool);

        foreach (var socket in new[] { channel.Handle, other.Handle })
        {
            // The kernel doubles the sizes of buffers.
            Assert.Equal(2 * 64 * 1024, SocketCalls.GetSocketOption(socket, SocketCalls.LevelSocket, SocketCalls.OptionSendBuffer));
            Assert.Equal(2 * 128 * 1024, SocketCalls.GetSocketOption(socket, SocketCalls.LevelSocket, SocketCalls.OptionReceiveBuffer));
            Assert.Equal(1, SocketCalls.GetSocketOption(socket, SocketCalls.LevelTcp, SocketCalls.TcpNoDelay));
            Assert.Equal(1, SocketCalls.GetSocketOption(socket, SocketCalls.LevelSocket, SocketCalls.OptionKeepAlive));
            Assert.Equal(11, SocketCalls.GetSocketOption(socket, SocketCalls.LevelTcp, SocketCalls.TcpKeepIdle));
            Assert.Equal(3, SocketCalls.GetSocketOption(socket, SocketCalls.LevelTcp, SocketCalls.TcpKeepInterval));
            Assert.Equal(7, SocketCalls.GetSocketOption(socket, SocketCalls.LevelTcp, SocketCalls.TcpKeepCount));
            Assert.Equal(17_000, SocketCalls.GetSocketOption(socket, SocketCalls.LevelTcp, SocketCalls.TcpUserTimeout));
        }
    }

    [Fact]
    public async Task Channels_take_the_local_addresses_in_turn()
    {
        IPAddress[] locals = [IPAddress.Parse("127.0.0.2"), IPAddress.Parse("127.0.0.3"), IPAddress.IPv6Loopback];
        ChannelOptions options = new() { LocalAddresses = locals };
        using var listener = ChannelListener.Listen(ChannelAddress.Parse("127.0.0.1:0"), options);
        List<string> seen = [];
        for (var i = 0; i < 4; i++)
        {
            await using var channel = await ChannelDialer.ConnectAsync(
                listener.LocalAddress, options, ChannelId.Multifd(i), i, _pool, Token);
            Assert.Equal(AcceptOutcome.Accepted, listener.TryAccept(out var accepted, out _));
            seen.Add(accepted.Peer.Group.ToString());
            accepted.Socket.Dispose();
        }

        Assert.Equal(["127.0.0.2", "127.0.0.3", "127.0.0.1", "127.0.0.2"], seen);
    }

    [Fact]
    public async Task A_local_address_that_is_not_ours_is_named()
    {
        ChannelOptions options = new() { LocalAddresses = [IPAddress.Parse("192.0.2.1")] };
        var e = await Assert.ThrowsAsync<ChannelException>(() => DialAsync(ChannelAddress.Parse("127.0.0.1:1"), options));
        Assert.Contains("192.0.2.1", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_refused_connection_says_who_and_why()
    {
        ChannelAddress nobody;
        using (var listener = ChannelListener.Listen(ChannelAddress.Parse("127.0.0.1:0"), new ChannelOptions()))
        {
            nobody = listener.LocalAddress;
        }

        var e = await Assert.ThrowsAsync<ChannelException>(() => DialAsync(nobody, new ChannelOptions()));
        Assert.Equal((ChannelEnd.Failed, Errno.ECONNREFUSED), (e.End, e.Errno));
        Assert.Equal(("main", $"cannot connect to {nobody}: Connection refused (111)"), (e.Channel, e.Message));

        e = await Assert.ThrowsAsync<ChannelException>(() => DialAsync(ChannelAddress.Unix(_folder + "/nobody"), new ChannelOptions()));
        Assert.Equal(Errno.ENOENT, e.Errno);

        e = await Assert.ThrowsAsync<ChannelException>(
            () => DialAsync(ChannelAddress.Parse("no-such-host.invalid:1"), new ChannelOptions()));
        Assert.Contains("no-such-host.invalid", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("::1")]
    public void A_socket_that_reaches_itself_has_reached_nobody(string host)
    {
        Requires.FamilyOf(host);
        ChannelAddress free;
        using (var listener = ChannelListener.Listen(ChannelAddress.Tcp(host, 0), new ChannelOptions()))
        {
            free = listener.LocalAddress;
        }

        var itself = ScriptedPeer.EndPointOf(free);
        using var attempt = new ConnectAttempt(itself, itself, new ChannelOptions());
        attempt.Wait(Token);
        Assert.Equal(Errno.ECONNREFUSED, attempt.Errno);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_listener_that_takes_nobody_ends_in_a_timeout_by_the_given_clock(bool unix)
    {
        FakeTimeProvider time = new();
        using var full = FullListener.On(unix ? new UnixDomainSocketEndPoint(_folder + "/s") : new IPEndPoint(IPAddress.Loopback, 0));
        var dialling = DialAsync(full.Address, new ChannelOptions { ConnectTimeout = TimeSpan.FromSeconds(20) }, time);
        time.Advance(TimeSpan.FromSeconds(19));
        Assert.False(dialling.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(2));
        var e = await Assert.ThrowsAsync<ChannelException>(() => dialling);
        Assert.Equal(ChannelEnd.TimedOut, e.End);
        Assert.Contains("within 20 s", e.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Cancelling_a_dial_is_a_cancellation_and_no_failure(bool unix)
    {
        using var full = FullListener.On(unix ? new UnixDomainSocketEndPoint(_folder + "/s") : new IPEndPoint(IPAddress.Loopback, 0));
        using var cancel = new CancellationTokenSource();
        var dialling = ChannelDialer.ConnectAsync(full.Address, new ChannelOptions(), ChannelId.Main, 0, _pool, cancel.Token);
        Assert.False(dialling.IsCompleted);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => dialling);
    }

    [Fact]
    public async Task A_unix_listener_with_a_full_backlog_is_asked_again_until_it_has_room()
    {
        using var full = FullListener.On(new UnixDomainSocketEndPoint(_folder + "/s"));
        var dialling = DialAsync(full.Address, new ChannelOptions());
        Assert.False(dialling.IsCompleted);
        full.TakeOne();
        await using var channel = await dialling;
        Assert.Equal(full.Address.ToString(), channel.Peer);
    }

    private static void Exchange(Channel from, Channel to)
    {
        using var source = new NativeBuffer(100).Fill(1);
        using NativeBuffer target = new(100);
        Assert.True(from.Send([source.Whole]).Complete);
        Assert.True(to.Receive([target.Whole]).Complete);
        Assert.True(source.Span.SequenceEqual(target.Span));
    }

    private Task<Channel> DialAsync(ChannelAddress address, ChannelOptions options, TimeProvider? time = null) =>
        ChannelDialer.ConnectAsync(address, options, ChannelId.Main, 0, _pool, Token, time);

    /// <summary>Makes sure that the engine exists, so that its set can be looked into.</summary>
    private static async Task StartTheRuntimesEngineAsync()
    {
        await using var pair = await ChannelPair.ConnectAsync(Token);
        var reading = pair.Channel.Input.ReadAsync(Token);
        pair.Peer.Send(1);
        pair.Channel.Input.AdvanceTo((await reading).Buffer.End);
    }
}
