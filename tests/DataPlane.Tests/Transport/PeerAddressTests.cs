using System.Net;
using DataPlane.Transport;
using Xunit;

namespace DataPlane.Tests.Transport;

public sealed class PeerAddressTests
{
    [Theory]
    [InlineData("10.0.0.1:4711", "10.0.0.1:4711", "10.0.0.1")]
    [InlineData("[fe80::1]:4711", "[fe80::1]:4711", "fe80::1")]
    [InlineData("[fe80::1%3]:4711", "[fe80::1%3]:4711", "fe80::1%3")]
    [InlineData("[::ffff:10.0.0.1]:4711", "10.0.0.1:4711", "10.0.0.1")]
    public void A_peer_has_a_port_and_its_group_has_none(string seen, string peer, string group)
    {
        var address = PeerAddress.Of(IPEndPoint.Parse(seen));
        Assert.Equal(peer, address.ToString());
        Assert.Equal(group, address.Group.ToString());
        Assert.Equal(IPAddress.Parse(group), address.Group.Address);
    }

    [Fact]
    public void Two_ports_of_an_address_are_two_peers_of_one_group()
    {
        var one = PeerAddress.Of(IPEndPoint.Parse("10.0.0.1:1"));
        Assert.Equal(one, PeerAddress.Of(IPEndPoint.Parse("[::ffff:10.0.0.1]:1")));
        var two = PeerAddress.Of(IPEndPoint.Parse("[::ffff:10.0.0.1]:2"));
        Assert.NotEqual(one, two);
        Assert.Equal(one.Group, two.Group);
        Assert.Equal(one.Group.GetHashCode(), two.Group.GetHashCode());
        Assert.NotEqual(one.Group, PeerGroup.Of(IPAddress.Parse("10.0.0.2")));
        Assert.NotEqual(PeerGroup.Of(IPAddress.Parse("fe80::1%2")), PeerGroup.Of(IPAddress.Parse("fe80::1%3")));
    }

    [Fact]
    public void A_peer_on_a_unix_socket_is_known_by_the_listener_whatever_is_in_its_path()
    {
        var peer = PeerAddress.Of(ChannelAddress.Unix("/run/vm:1/s"));
        Assert.Equal("unix:/run/vm:1/s", peer.ToString());
        Assert.Equal("unix:/run/vm:1/s", peer.Group.ToString());
        Assert.Null(peer.Group.Address);
        Assert.Equal(peer, PeerAddress.Of(ChannelAddress.Unix("/run/vm:1/s")));
        Assert.NotEqual(peer.Group, PeerAddress.Of(ChannelAddress.Unix("/run/vm:2/s")).Group);
    }
}
