using System.Net.Sockets;
using DataPlane.Linux;
using DataPlane.TestSupport;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class ChannelListenerTests : IDisposable
{
    private static readonly ChannelOptions s_options = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("dataplane-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("127.0.0.1:0", "127.0.0.1:")]
    [InlineData("[::1]:0", "[::1]:")]
    public void The_real_port_is_told_when_0_was_asked_for(string where, string prefix)
    {
        Requires.FamilyOf(where);
        using var listener = ChannelListener.Listen(ChannelAddress.Parse(where), s_options);
        Assert.NotEqual(0, listener.LocalAddress.Port);
        Assert.StartsWith(prefix, listener.LocalAddress.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Without_a_host_both_families_are_served_and_ipv4_peers_look_like_ipv4()
    {
        Requires.FamilyOf("::1");
        using var listener = ChannelListener.Listen(ChannelAddress.Parse(":0"), s_options);
        foreach (var host in new[] { "127.0.0.1", "::1" })
        {
            using var peer = ScriptedPeer.Connect(ChannelAddress.Tcp(host, listener.LocalAddress.Port));
            Assert.Equal(AcceptOutcome.Accepted, listener.TryAccept(out var accepted, out _));
            Assert.Equal(host, accepted.Peer.Group.Address!.ToString());
            Assert.Equal(peer.Socket.LocalEndPoint!.ToString(), accepted.Peer.ToString());
            accepted.Socket.Dispose();
        }
    }

    [Fact]
    public void Accepting_never_blocks()
    {
        using var listener = ChannelListener.Listen(ChannelAddress.Parse("127.0.0.1:0"), s_options);
        Assert.Equal(AcceptOutcome.Empty, listener.TryAccept(out _, out var errno));
        Assert.Equal(Errno.EAGAIN, errno);
    }

    [Fact]
    public void An_address_in_use_is_named()
    {
        using var first = ChannelListener.Listen(ChannelAddress.Parse("127.0.0.1:0"), s_options);
        var e = Assert.Throws<ChannelException>(() => ChannelListener.Listen(first.LocalAddress, s_options));
        Assert.Contains(first.LocalAddress.ToString(), e.Message, StringComparison.Ordinal);
        Assert.Contains("in use", e.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_stale_unix_socket_is_replaced_a_live_one_and_a_plain_file_are_not()
    {
        var address = ChannelAddress.Unix(_folder + "/s");
        using (var stale = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            // Bound under one name and moved to another: closing it cannot remove the file, as after a crash.
            stale.Bind(new UnixDomainSocketEndPoint(_folder + "/old"));
            stale.Listen();
            File.Move(_folder + "/old", address.Path!);
        }

        Assert.True(FileFacts.IsSocket(address.Path!));
        using (var listener = ChannelListener.Listen(address, s_options))
        {
            Assert.Throws<ChannelException>(() => ChannelListener.Listen(address, s_options));
            using var peer = ScriptedPeer.Connect(address);
            Assert.Equal(AcceptOutcome.Accepted, listener.TryAccept(out var accepted, out _));
            Assert.Equal(PeerAddress.Of(address), accepted.Peer);
            accepted.Socket.Dispose();
        }

        Assert.False(File.Exists(address.Path));
        File.WriteAllText(address.Path!, "precious");
        Assert.Throws<ChannelException>(() => ChannelListener.Listen(address, s_options));
        Assert.Equal("precious", File.ReadAllText(address.Path!));
    }

    /// <summary>A blocking connect would find out about this owner only when it accepts a connection, which it never does.</summary>
    [Fact]
    public async Task A_live_unix_socket_whose_owner_accepts_nobody_is_found_in_use_at_once()
    {
        using var full = FullListener.On(new UnixDomainSocketEndPoint(_folder + "/s"));
        var token = TestContext.Current.CancellationToken;

        var listening = Task.Run(() => ChannelListener.Listen(full.Address, s_options).Dispose(), token);

        var e = await Assert.ThrowsAsync<ChannelException>(() => listening.WaitAsync(TimeSpan.FromSeconds(30), token));
        Assert.Contains("in use", e.Message, StringComparison.Ordinal);
        Assert.True(FileFacts.IsSocket(full.Address.Path!));
    }

    [Fact]
    public void A_host_without_an_address_is_named()
    {
        var e = Assert.Throws<ChannelException>(
            () => ChannelListener.Listen(ChannelAddress.Parse("nowhere.test:0"), s_options, static _ => []));
        Assert.Equal("cannot listen on nowhere.test:0: 'nowhere.test' has no address", e.Message);
    }

    [Theory]
    [InlineData(Errno.EAGAIN, (int)AcceptOutcome.Empty)]
    [InlineData(Errno.ECONNABORTED, (int)AcceptOutcome.Retry)]
    [InlineData(Errno.EMFILE, (int)AcceptOutcome.BackOff)]
    [InlineData(Errno.ENFILE, (int)AcceptOutcome.BackOff)]
    [InlineData(Errno.ENOMEM, (int)AcceptOutcome.BackOff)]
    [InlineData(Errno.EBADF, (int)AcceptOutcome.Stop)]
    [InlineData(Errno.EINVAL, (int)AcceptOutcome.Stop)]
    public void Accept_errors_are_sorted_by_what_to_do(int errno, int outcome) =>
        Assert.Equal((AcceptOutcome)outcome, SocketErrors.ClassifyAccept(errno));

    [Theory]
    [InlineData(Errno.ECONNRESET, (int)ChannelEnd.Reset)]
    [InlineData(Errno.EPIPE, (int)ChannelEnd.Reset)]
    [InlineData(Errno.ETIMEDOUT, (int)ChannelEnd.TimedOut)]
    [InlineData(Errno.EHOSTUNREACH, (int)ChannelEnd.Failed)]
    public void Transfer_errors_are_sorted_by_who_ended_it(int errno, int end) =>
        Assert.Equal((ChannelEnd)end, SocketErrors.Classify(errno));
}
