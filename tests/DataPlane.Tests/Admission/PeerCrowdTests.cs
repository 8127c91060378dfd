using System.Net;
using System.Net.Sockets;
using DataPlane.Admission;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Admission;

public sealed class PeerCrowdTests : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly PeerCrowd _stranger = new(PeerGroup.Of(IPAddress.Parse("127.0.0.2")), need: 2);
    private readonly PeerCrowd _source = new(PeerGroup.Of(IPAddress.Parse("127.0.0.1")), need: 2);

    public void Dispose() => _socket.Dispose();

    [Fact]
    public void An_address_is_as_old_as_its_oldest_connection_whoever_is_the_next_to_go()
    {
        Add(_stranger, key: 1);
        _stranger.BeginToSpeak(Add(_stranger, key: 2));
        Add(_source, key: 3);
        var order = new PeerCrowd.BySize();
        Assert.True(order.Compare(_stranger, _source) < 0);

        // Its speaking one goes, and a newer one takes that place, as often as it likes.
        for (ulong key = 4; key < 8; key++)
        {
            var victim = _stranger.Victim!;
            Assert.NotEqual(1UL, victim.Key);
            _stranger.Remove(victim);
            _stranger.BeginToSpeak(Add(_stranger, key));
            Assert.True(order.Compare(_stranger, _source) < 0);
        }
    }

    [Fact]
    public void The_more_numerous_kind_pays_and_a_migrations_channels_may_all_be_silent()
    {
        var speaking = Add(_stranger, key: 1);
        var silent = Add(_stranger, key: 2);
        Add(_stranger, key: 3);
        Assert.Equal(1UL, _stranger.Victim!.Key);
        _stranger.BeginToSpeak(speaking);
        Assert.Same(speaking, _stranger.Victim);
        Add(_stranger, key: 4);
        Assert.Same(silent, _stranger.Victim);
    }

    private UndecidedConnection Add(PeerCrowd crowd, ulong key)
    {
        var connection = new UndecidedConnection(
            key, new AcceptedSocket(_socket.SafeHandle, PeerAddress.Of(new IPEndPoint(crowd.PeerGroup.Address!, (int)key))), now: 0);
        crowd.Add(connection);
        return connection;
    }
}
